"""The result of every cell of a run's grid: done, failed, skipped, or not run yet."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from math import nan
from pathlib import Path

import numpy as np

from benchmark.records import (
    CellKey,
    CellRecord,
    CellRef,
    CheckRecord,
    ModelRecord,
    RunManifest,
    Status,
    Store,
)
from benchmark.records.covariances import CovariancesRecord
from benchmark.records.figures import FiguresRecord
from benchmark.records.stored_cell import StoredCell
from benchmark.report.display_names import DisplayNames
from benchmark.report.kept_arrays import KeptArrays

CLUSTERING = "clustering"
RETRIEVAL = "retrieval-query"
RANKING = "ranking"
NOT_RUN = "not run yet"
_PRECEDENCE = {"check": 0, "curve": 1, "clean": 2, "suite": 3}


@dataclass(frozen=True)
class CellResult:
    """One cell of the grid with its result.

    Attributes:
        ref: the cell as the grid holds it.
        status: "done", "failed" or "skipped"; a cell without a record counts as failed.
        reason: why it is not done; empty when it is.
        record: its record, or None when there is none.
        key: the model, scenario, attack and budget of the cell.
        compute: the compute mode of the tables that show the cell.
        done: whether the cell has metrics.
    """

    ref: CellRef
    status: Status
    reason: str
    record: CellRecord | None
    key: CellKey = field(init=False, repr=False, compare=False)
    compute: str = field(init=False, repr=False, compare=False)
    done: bool = field(init=False, repr=False, compare=False)

    # Read millions of times in a report of ten thousand cells, so they are attributes.
    def __post_init__(self) -> None:
        object.__setattr__(self, "key", self.ref.key)
        object.__setattr__(self, "compute", self.ref.compute)
        object.__setattr__(self, "done", self.status == "done")

    @property
    def follows_others(self) -> bool:
        """Whether its attack was made only on queries that still stood, so that its R@1 is not its own."""
        return self.record is not None and bool(self.record.follows)

    def metric(self, name: str) -> float:
        """A metric as a fraction, or nan when the cell has none of that name."""
        return self.record.metrics.get(name, nan) if self.record and self.done else nan


class Run:
    """All records of a run that the report reads; their sentences name no folder of the machine.

    Args:
        store: the folder of the run.
        manifest: the manifest of the run; by default the folder's.

    Attributes:
        manifest: the grid.
        names: what readers see in place of specs.
        models: the record of each training that has one, by id.
        cells: every cell once for each compute mode that it is shown in, in an order that depends only on the
            keys and modes.
        table_cells: those that the tables' metrics and worst cases are computed from.
        check_cells: those that are used only by the checks.
        ranking_cells: those of the board of robrank's measures.

    Raises:
        UsageError: when the folder holds no run.
    """

    def __init__(self, store: Store, manifest: RunManifest | None = None) -> None:
        self._store = store
        self._arrays = KeptArrays(store)
        manifest = manifest or store.manifest()
        self.names = DisplayNames(manifest)
        self.manifest: RunManifest = _for_readers(manifest, self.names)
        records = {ref.id: store.model(ref.id) for ref in manifest.models}
        self.models: dict[str, ModelRecord] = {
            key: _model_for_readers(record, self.names) for key, record in records.items() if record
        }
        # An attack of the suite may also be part of the plot over eps or of a check: it is one cell, with the
        # suite's role. Two rows may share a cell, as where two names stand for the same weights.
        refs = {
            (ref.compute, ref.id, ref.key): ref
            for ref in sorted(self.manifest.cells, key=lambda ref: _PRECEDENCE[ref.role])
        }
        self.cells = sorted((self._result(ref) for ref in refs.values()), key=self._order)
        self.ranking_cells = [cell for cell in self.cells if cell.key.scenario == RANKING]
        rest = [cell for cell in self.cells if cell.key.scenario != RANKING]
        self.table_cells = [cell for cell in rest if cell.ref.role != "check"]
        self.check_cells = [cell for cell in self.cells if cell.ref.role == "check"]

    @property
    def lead(self) -> str:
        """The compute mode that was asked for first and has cells; "none" where nothing was trained."""
        modes = {cell.compute for cell in self.cells}
        return next((mode for mode in self.manifest.compute if mode in modes), min(modes, default=""))

    def arrays(self, cell: CellResult) -> dict[str, np.ndarray]:
        """The arrays of a cell, not to be written to; empty when it is not done or has none."""
        return self._arrays.of(cell.ref.id) if cell.done else {}

    def arrays_stamp(self, cell: CellResult) -> tuple[int, int] | None:
        """Size and time of writing of a cell's arrays; None when it has none."""
        return self._store.arrays_stamp(cell.ref.id)

    def record_stamp(self, cell: CellResult) -> tuple[int, int] | None:
        """Size and time of writing of a cell's record; None when it has none."""
        return self._store.record_stamp(cell.ref.id)

    def figures(self) -> FiguresRecord | None:
        """What the figures of the last report were drawn from, or None."""
        return self._store.figures()

    def save_figures(self, record: FiguresRecord) -> None:
        """Writes what the figures of this report were drawn from."""
        self._store.save_figures(record)

    def of_setting(self, dataset: str, backbone: str, loss: str, compute: str) -> list[CellResult]:
        """The cells of tables that share the setting of their models, in order."""
        return self._of_setting.get((dataset, backbone, loss, compute), [])

    @cached_property
    def _of_setting(self) -> dict[tuple[str, str, str, str], list[CellResult]]:
        found: dict[tuple[str, str, str, str], list[CellResult]] = defaultdict(list)
        for cell in self.table_cells:
            key = cell.key
            found[key.dataset, key.backbone, key.loss, cell.compute].append(cell)
        return dict(found)

    def covariances(self) -> CovariancesRecord | None:
        """How the scores of the last report scatter, or None."""
        return self._store.covariances()

    def save_covariances(self, record: CovariancesRecord) -> None:
        """Writes how the scores of this report scatter."""
        self._store.save_covariances(record)

    def images(self, cell: CellResult) -> Path:
        """The path of a cell's attacked images (safetensors), which exist where the run was to keep some."""
        return self._store.images_path(cell.ref.id)

    def check_images(self, cell: CellResult) -> None:
        """Checks that a cell's attacked images are those that were written.

        Raises:
            CheckpointError: when they are damaged or cannot be read.
        """
        self._store.check_images(cell.ref.id)

    def checks(self, model_id: str, norm: str, eps: float) -> CheckRecord | None:
        """The check results of a model at one budget; None when they are about the cells of another grid."""
        record = self._store.checks(model_id, norm, eps)
        if record is None or record.cells != sorted(self._cells_of.get(model_id, ())):
            return None
        results = [
            result if told == result.explanation else result.model_copy(update={"explanation": told})
            for result in record.results
            for told in [self.names.sentence(result.explanation)]
        ]
        return record.model_copy(update={"results": results})

    @cached_property
    def _cells_of(self) -> dict[str, set[str]]:
        """The ids of the cells of each model."""
        ids: dict[str, set[str]] = defaultdict(set)
        for cell in self.manifest.cells:
            ids[cell.model_id].add(cell.id)
        return ids

    def _result(self, ref: CellRef) -> CellResult:
        stored = self._store.examined(ref.id)
        if stored.damage:
            return CellResult(ref, "failed", self.names.sentence(stored.damage), None)
        record = stored.record
        if record is not None:
            reason = self.names.sentence(record.reason) if record.status != "done" else _flaw(stored, ref)
            return CellResult(
                ref, "failed" if record.status == "done" and reason else record.status, reason, record
            )
        model = self.models.get(ref.model_id)
        if model is not None and model.status != "done":
            return CellResult(ref, model.status, f"training {model.status}: {model.reason}", None)
        return CellResult(ref, "failed", NOT_RUN, None)

    def _order(self, cell: CellResult) -> tuple[str, str, str, str, int, str, str, str, float, str]:
        key, short = cell.key, self.names.short
        model = (short(key.dataset), short(key.backbone), short(key.loss), short(key.defense), key.seed)
        return (*model, key.scenario, short(key.attack), key.norm, key.eps, cell.compute)


def _flaw(stored: StoredCell, ref: CellRef) -> str:
    """Says that a done cell, of a version that did not record its arrays' names, lacks those it needs."""
    lacks = ref.key.scenario == RETRIEVAL and "success" not in stored.arrays
    return "its per-query outcomes are missing on disk" if lacks else ""


def _for_readers(manifest: RunManifest, names: DisplayNames) -> RunManifest:
    sentences = {
        "suite": names.sentence(manifest.suite),
        "skipped": [names.sentence(reason) for reason in manifest.skipped],
        "unranked": {spec: names.sentence(reason) for spec, reason in manifest.unranked.items()},
        "descriptions": {spec: names.sentence(text) for spec, text in manifest.descriptions.items()},
    }
    return manifest.model_copy(update=sentences)


def _model_for_readers(record: ModelRecord, names: DisplayNames) -> ModelRecord:
    notes = [names.sentence(note) for note in record.notes]
    return record.model_copy(update={"reason": names.sentence(record.reason), "notes": notes})
