"""The manifest of a run: its grid as the report reads it."""

from __future__ import annotations

from attacks import ATTACKS
from benchmark.data import DATASETS, Folders
from benchmark.evaluation import CHECKS, SCENARIOS
from benchmark.planning.budgets import whole_range
from benchmark.planning.config import Configuration
from benchmark.planning.grid import Grid
from benchmark.records import CLEAN, CellRef, Provenance, RunManifest
from defenses import DEFENSES


def make_manifest(
    grid: Grid, config: Configuration, command: str, folders: Folders, provenance: Provenance
) -> RunManifest:
    """Builds the manifest: the grid's models and cells, and what the report needs to describe them.

    Args:
        grid: the grid.
        config: the configuration behind the grid.
        command: the command line that was given.
        folders: where data sets are.
        provenance: the provenance of the run.
    """
    cells = grid.cell_refs()
    return RunManifest(
        command=command,
        config=config.model_dump(mode="json"),
        suite=grid.suite,
        compute=list(config.compute),
        budget=config.budget,
        references=grid.references,
        checks={name: check.summary() for name, check in CHECKS.items()},
        whole_range={
            dataset.spec: {norm: whole_range(dataset, norm, folders) for norm in config.norm}
            for dataset in grid.datasets
        },
        short_names={
            named.spec: named.short_name
            for named in (*grid.datasets, *grid.backbones)
            if named.short_name != named.spec
        },
        models=grid.model_refs(),
        cells=cells,
        skipped=grid.left_out(),
        descriptions=_descriptions(cells),
        provenance=provenance,
    )


def _descriptions(cells: list[CellRef]) -> dict[str, str]:
    """Describes each data set, defense, attack and scenario in one line, keyed by its spec."""
    found: dict[str, str] = {}
    for cell in cells:
        key = cell.key
        for registry, text in (
            (DATASETS, key.dataset),
            (DEFENSES, key.defense),
            (ATTACKS, key.attack),
            (SCENARIOS, key.scenario),
        ):
            if text != CLEAN and text not in found:
                parts = registry.build(text).parts()
                found[text] = " ".join(part.summary() for part in reversed(parts))
    return found
