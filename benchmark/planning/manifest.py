"""The manifest of a run: its grid as the report reads it."""

from __future__ import annotations

from attacks import ATTACKS
from benchmark.core.parameters import Parameters
from benchmark.core.spec import parse_spec
from benchmark.data import DATASETS, Folders
from benchmark.evaluation import CHECKS, SCENARIOS
from benchmark.jobs.models import UNUSED
from benchmark.losses import LOSSES
from benchmark.planning.budgets import whole_range
from benchmark.planning.config import Configuration
from benchmark.planning.grid import Grid
from benchmark.planning.identity import plugin_digest
from benchmark.records import CLEAN, CellRef, Provenance, RunManifest
from defenses import CONTROLS, DEFENSES


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
        compute=grid.modes,
        budget=config.budget,
        references=grid.references,
        checks={name: check.summary() for name, check in CHECKS.items()},
        whole_range={
            dataset.spec: {norm: whole_range(dataset, norm, folders) for norm in config.norm}
            for dataset in grid.datasets
        },
        own_models={entry.spec: entry.model.title for entry in grid.own_models},
        unranked=grid.unranked,
        controls={name: list(of) for name, of in CONTROLS.items()},
        plugins=_plugins(grid),
        short_names=_short_names(grid, cells),
        models=grid.model_refs(),
        cells=cells,
        skipped=grid.left_out(),
        descriptions={**_descriptions(cells), **_data_descriptions(grid, folders)},
        components=_components(cells),
        provenance=provenance,
    )


def _components(cells: list[CellRef]) -> dict[str, str]:
    """Describes what the attacks are made of, by the name of each part without parameters."""
    attacks = sorted({cell.key.attack for cell in cells} - {CLEAN})
    parts = [part for attack in attacks for part in ATTACKS.build(attack).parts()]
    return {parse_spec(part.spec).name: part.summary() for part in parts}


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


def _plugins(grid: Grid) -> dict[str, str]:
    """A short hash of the source of each defense that is a plugin's, by its spec."""
    own = {entry.spec for entry in grid.own_models}
    specs = {model.job.key.defense for model in grid.models if model.has_row} - own
    digests = {spec: plugin_digest(map(type, DEFENSES.build(spec).parts())) for spec in sorted(specs)}
    return {spec: found for spec, found in digests.items() if found}


def _short_names(grid: Grid, cells: list[CellRef]) -> dict[str, str]:
    """What readers see in place of the specs that hold paths."""
    named: list[Parameters] = [*grid.datasets, *grid.backbones]
    named += [LOSSES.build(loss) for loss in sorted({cell.key.loss for cell in cells} - {UNUSED})]
    named += [DEFENSES.build(spec) for spec in sorted({cell.key.defense for cell in cells})]
    names = {one.spec: one.short_name for one in named if one.short_name != one.spec}
    for spec in sorted({cell.key.attack for cell in cells} - {CLEAN}):
        attack = ATTACKS.build(spec)
        if attack.needs in names:
            attack = attack.made_on(names[attack.needs])
        if attack.short_name != spec:
            names[spec] = attack.short_name
    return names


def _data_descriptions(grid: Grid, folders: Folders) -> dict[str, str]:
    """Describes each data set in a line, with the size of its images and what its pool is."""
    found = {}
    for dataset in grid.datasets:
        channels, height, width = dataset.seen_shape(folders)
        kind = "grey" if channels == 1 else "color"
        whole = " Here every class is in the pool." if dataset.pool == "all" else ""
        found[dataset.spec] = f"{dataset.summary()}{whole} Images of {height} x {width} pixels, {kind}."
    return found
