"""Merging the grids of several output folders into one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmark.core.errors import UsageError
from benchmark.core.spec import split_list
from benchmark.records.cell import CellRecord
from benchmark.records.keys import CellKey, ModelKey
from benchmark.records.model import ModelRecord
from benchmark.records.provenance import Provenance
from benchmark.records.run import CellRef, ModelRef, RunManifest
from benchmark.records.store import Store

_SAME = ("evaluation", "attack_precision", "budget", "pretrained")
"""Parts of a configuration that values depend on, but no key says."""

_COMMON = ("source", "weights", "data")
"""Parts of the identity of a training or of a cell that its seed does not change."""


class Source(NamedTuple):
    """A folder to merge.

    Attributes:
        path: the folder, as the user named it.
        manifest: its grid.
        models: its records of trainings, by id.
        cells: its records of cells, by id.
    """

    path: Path
    manifest: RunManifest
    models: dict[str, ModelRecord]
    cells: dict[str, CellRecord]

    @classmethod
    def read(cls, path: Path) -> Source:
        """Reads the grid of a folder, and its records that can be used.

        Raises:
            UsageError: when the folder holds no run.
        """
        store = Store(path)
        manifest = store.manifest()
        models = {ref.id: store.model(ref.id) for ref in manifest.models}
        cells = {ref.id: store.examined(ref.id).record for ref in manifest.cells}
        return cls(
            path,
            manifest,
            {key: record for key, record in models.items() if record},
            {key: record for key, record in cells.items() if record},
        )

    def provenances(self) -> list[Provenance]:
        """The provenance of each record."""
        models = [record.provenance for record in self.models.values()]
        return models + [record.provenance for record in self.cells.values()]

    def logs(self) -> set[str]:
        """The names of the logs that records of failures name."""
        logs = {record.log for record in self.models.values()} | {
            record.log for record in self.cells.values()
        }
        return {Path(log).name for log in logs if log}


def merged(sources: Sequence[Source], command: str) -> RunManifest:
    """Merges grids, after it has checked that their values may stand in one board.

    Args:
        sources: at least two folders.
        command: the command line that merges them.

    Raises:
        UsageError: when versions of the protocol, settings, trainings or values of one cell differ.
    """
    _reject_protocols(sources)
    _reject_settings(sources)
    _reject_models(sources)
    _reject_values(sources)
    manifests = [source.manifest for source in sources]
    newest = max(manifests, key=lambda manifest: manifest.provenance.created)
    return RunManifest(
        command=command,
        merged=_union(each for one in manifests for each in one.merged or [one.command]),
        config=_config([manifest.config for manifest in manifests]),
        suite=",".join(_union(name for one in manifests for name in split_list(one.suite))),
        compute=_union(mode for one in manifests for mode in one.compute),
        budget=manifests[0].budget,
        references=_union(name for one in manifests for name in one.references),
        checks=_joined(manifest.checks for manifest in manifests),
        whole_range={
            spec: _joined(one.whole_range.get(spec, {}) for one in manifests)
            for spec in _joined(manifest.whole_range for manifest in manifests)
        },
        own_models=_joined(manifest.own_models for manifest in manifests),
        unranked=_joined(manifest.unranked for manifest in manifests),
        controls=_joined(manifest.controls for manifest in manifests),
        plugins=_joined(manifest.plugins for manifest in manifests),
        short_names=_joined(manifest.short_names for manifest in manifests),
        models=list(
            {(ref.id, ref.key, ref.compute): ref for one in manifests for ref in one.models}.values()
        ),
        cells=list(dict.fromkeys(ref for one in manifests for ref in one.cells)),
        skipped=_union(reason for one in manifests for reason in one.skipped),
        descriptions=_joined(manifest.descriptions for manifest in manifests),
        components=_joined(manifest.components for manifest in manifests),
        provenance=newest.provenance,
    )


def _reject_protocols(sources: Sequence[Source]) -> None:
    by_version: dict[str, Path] = {}
    for source in sources:
        by_version.setdefault(source.manifest.provenance.protocol, source.path)
        for made_by in source.provenances():
            by_version.setdefault(made_by.protocol, source.path)
    if len(by_version) > 1:
        found = ", ".join(f"{version} in '{path}'" for version, path in sorted(by_version.items()))
        raise UsageError(
            f"The folders have results of different versions of the protocol ({found}), which cannot be "
            "compared. Merge folders of one version."
        )


def _reject_settings(sources: Sequence[Source]) -> None:
    for name in _SAME:
        _reject_different(
            ((source.path, source.manifest.config.get(name)) for source in sources),
            f"The folders were run with different {name}",
        )
    for spec in _joined(source.manifest.plugins for source in sources):
        found = [(source.path, source.manifest.plugins.get(spec)) for source in sources]
        _reject_different(
            ((path, value) for path, value in found if value is not None),
            f"The code of the plugin of {spec} differs",
        )
    for spec in _joined(source.manifest.whole_range for source in sources):
        ranges = [(source.path, source.manifest.whole_range.get(spec, {})) for source in sources]
        for norm in _joined(known for _, known in ranges):
            _reject_different(
                ((path, known[norm]) for path, known in ranges if norm in known),
                f"The range of images of {spec} in the norm {norm} differs",
            )


def _reject_models(sources: Sequence[Source]) -> None:
    """Rejects a seed that was trained twice, and seeds of one row that differ in more than the seed."""
    ids: dict[tuple[ModelKey, str], list[tuple[Path, Any]]] = defaultdict(list)
    recipes: dict[tuple[str, ...], list[tuple[Path, Any]]] = defaultdict(list)
    made_of: dict[tuple[str, ...], list[tuple[Path, Any]]] = defaultdict(list)
    for source in sources:
        for ref in source.manifest.models:
            ids[ref.key, ref.compute].append((source.path, ref.id))
            record, row = source.models.get(ref.id), _row(ref.key, ref.compute)
            if record is not None and record.recipe:
                recipes[row].append((source.path, record.recipe))
            if record is not None and record.identity:
                made_of[row].append((source.path, _made_of(record.identity)))
    for (key, _), found in ids.items():
        _reject_different(
            found,
            f"Code or parameters of the training of {_named(key)} differ, which --explain compares",
        )
    for (*_, defense, _), found in recipes.items():
        _reject_different(
            found,
            f"The seeds of {defense} were trained with different recipes",
        )
    for (*_, defense, _), found in made_of.items():
        _reject_different(found, f"The seeds of {defense} were trained with different code, weights or data")


def _row(key: ModelKey, compute: str) -> tuple[str, ...]:
    return key.dataset, key.backbone, key.loss, key.defense, compute


def _made_of(identity: Mapping[str, Any]) -> dict[str, Any]:
    """What seeds of a row have in common, of what a model or a cell is made of."""
    return {part: identity[part] for part in _COMMON if part in identity}


def _reject_values(sources: Sequence[Source]) -> None:
    found: dict[str, list[tuple[Path, CellRecord]]] = defaultdict(list)
    keys: dict[tuple[Any, str], list[tuple[Path, str]]] = defaultdict(list)
    made_of: dict[tuple[Any, ...], list[tuple[Path, Any]]] = defaultdict(list)
    for source in sources:
        for ref in source.manifest.cells:
            keys[ref.key, ref.compute].append((source.path, ref.id))
            record = source.cells.get(ref.id)
            if record is not None and record.identity:
                row = (ref.key.model_copy(update={"seed": 0}), ref.compute)
                made_of[row].append((source.path, _made_of(record.identity)))
        for key, record in source.cells.items():
            if record.status == "done":
                found[key].append((source.path, record))
    for records in found.values():
        cell = records[0][1].key
        for name in sorted(set().union(*(record.metrics for _, record in records))):
            _reject_different(
                ((path, record.metrics.get(name)) for path, record in records),
                f"{_attack(cell)} has different {name}",
            )
    for (cell, _), each in keys.items():
        _reject_different(
            each,
            f"Code or parameters differ of {_attack(cell)}, which --explain compares",
        )
    for (cell, _), each in made_of.items():
        attack = f"{cell.attack} at eps {cell.eps:g} on {cell.defense}, {cell.scenario},"
        _reject_different(each, f"The seeds of the attack {attack} were computed by different code")


def _named(key: ModelKey) -> str:
    return f"{key.defense} (seed {key.seed}, {key.dataset}, {key.backbone})"


def _attack(cell: CellKey) -> str:
    return f"the attack {cell.attack} at eps {cell.eps:g} on {_named(cell)}, {cell.scenario},"


def _reject_different(found: Iterable[tuple[Path, Any]], what: str) -> None:
    """Raises an error with the first two values that differ."""
    each = list(found)
    for path, value in each[1:]:
        first, other = each[0][1], value
        if first != other:
            if isinstance(first, dict) and isinstance(other, dict):
                differing = [key for key in {**first, **other} if first.get(key) != other.get(key)]
                first, other = ({key: one.get(key) for key in differing} for one in (first, other))
            raise UsageError(
                f"{what[:1].upper()}{what[1:]}: {first} in '{each[0][0]}', {other} in '{path}'. Merge "
                "folders of runs with the same code and settings."
            )


def _config(configs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The configuration of a merged board: lists joined; what differs else is that of the first folder."""
    config = dict(configs[0])
    for name in config:
        values = [one.get(name) for one in configs]
        if all(isinstance(value, list) for value in values):
            config[name] = _union(each for value in values for each in value or [])
    if any(one.get("preset") != config.get("preset") for one in configs):
        config["preset"] = None
    return config


def _union(values: Iterable[Any]) -> list[Any]:
    """The distinct values, in the order in which they come first."""
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


def _joined(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """One dictionary; the first folder that has a key decides."""
    found: dict[str, Any] = {}
    for part in parts:
        found = {**found, **{key: value for key, value in part.items() if key not in found}}
    return found


def shared_models(sources: Sequence[Source]) -> list[ModelRef]:
    """Lists the models that several folders have cells of."""
    holders: dict[str, set[Path]] = defaultdict(set)
    for source in sources:
        for cell in source.manifest.cells:
            holders[cell.model_id].add(source.path)
    refs = {ref.id: ref for source in sources for ref in source.manifest.models}
    return [ref for key, ref in refs.items() if len(holders[key]) > 1]


def holder(sources: Sequence[Source], ref: CellRef | ModelRef) -> Source | None:
    """The folder that a record is taken from: the first where it is done, else the first that has one."""
    having = []
    for source in sources:
        record = source.cells.get(ref.id) if isinstance(ref, CellRef) else source.models.get(ref.id)
        if record is not None:
            having.append((record.status != "done", source))
    return min(having, key=lambda pair: pair[0])[1] if having else None
