"""What the attacks of a run are made of, each part described once."""

from __future__ import annotations

from collections import defaultdict

from benchmark.records import CLEAN
from benchmark.report.cell_results import Run


def attack_parts(run: Run) -> list[tuple[list[str], str]]:
    """Describes optimizers and objectives, as names and what they share as description.

    Runs of versions that did not record the parts have a description of each whole attack.

    Args:
        run: the run.
    """
    manifest = run.manifest
    attacks = {cell.key.attack for cell in run.cells} - {CLEAN}
    described = manifest.components or {
        run.names.attack(attack): manifest.descriptions[attack]
        for attack in attacks
        if attack in manifest.descriptions
    }
    sharing: dict[str, list[str]] = defaultdict(list)
    for name, description in sorted(described.items()):
        if description:
            sharing[description].append(name)
    return sorted((names, description) for description, names in sharing.items())
