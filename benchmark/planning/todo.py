"""The jobs of a grid that are not done yet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from benchmark.data import Folders
from benchmark.jobs import AttackJob, Job, TrainJob
from benchmark.jobs.costs import probe_all
from benchmark.planning.grid import Grid, PlannedJob
from benchmark.records import Store


@dataclass(frozen=True)
class Todo:
    """The jobs of a grid that are not done yet.

    Attributes:
        trainings, attacks: the jobs; attacks hold only those of their cells that are not done.
        refused: attacks whose model cannot be trained, and whose cells have no record yet.
        cells: number of all cells.
        cached: number of those that are done.
        failed: number of those that failed in an earlier run, and are not tried again.
        finished: ids of the cells that are done, and whose records and arrays were found sound.
        kept_failures: ids of the cells and trainings that failed in an earlier run, and are not tried again.
    """

    trainings: list[TrainJob]
    attacks: list[AttackJob]
    refused: list[PlannedJob]
    cells: int
    cached: int
    failed: int = 0
    finished: frozenset[str] = frozenset()
    kept_failures: frozenset[str] = frozenset()

    @property
    def failures(self) -> str:
        """A clause on the cells that are not tried again; empty where there are none."""
        return f", {self.failed} failed before (--retry-failed tries them again)" if self.failed else ""

    @property
    def jobs(self) -> list[Job]:
        """The trainings, then the attacks."""
        return [*self.trainings, *self.attacks]

    @property
    def is_bound(self) -> bool:
        """Whether the costs are upper bounds, because some attacks run only on queries that still stand."""
        return any(job.follows or job.at_chance for job in self.attacks)

    def costs(self, folders: Folders) -> dict[str, float]:
        """Estimates the cost units of each job, by its id; see `is_bound`."""
        models = [*self.trainings, *(one for job in self.attacks for one in (job.model, job.source) if one)]
        probe_all([(model.key, model.recipe) for model in {one.id: one for one in models}.values()], folders)
        return {job.id: job.cost(folders) for job in self.jobs}


def find_todo(grid: Grid, store: Store, retry_failed: bool = False) -> Todo:
    """Finds the cells that are not done yet, and the trainings that they need.

    What failed in an earlier run is not tried again unless `retry_failed` is set. Exceptions, since they
    may have failed for that: attacks on a model that was trained and has lost its checkpoint, and those that
    follow attacks which are made first.
    """
    attacks, refused = [], []
    cached = 0
    failed: set[str] = set()
    keeps = _Kept(store, retry_failed)
    seen: set[str] = set()  # a model may have a row in both compute modes
    finished: set[str] = set()
    waiting: set[str] = set()
    for planned in grid.attacks:
        todo = {}
        pictures = grid.save_images and planned.role == "suite" and planned.job.pictured
        drawn = not pictures or int(store.images(pictures).get("asked", 0)) >= grid.save_images
        for scenario, cell_id in planned.job.cells.items():
            if cell_id in seen:
                continue
            seen.add(cell_id)
            recorded = planned.refusal and store.cell(cell_id) is not None
            if not recorded and store.finished(cell_id) and drawn:
                finished.add(cell_id)
            if recorded or cell_id in finished:
                cached += 1
            elif not planned.refusal and keeps.cell(planned.job, cell_id, waiting):
                failed.add(cell_id)
            else:
                todo[scenario] = cell_id
                waiting.add(cell_id)
        if not todo:
            continue
        job = planned.job.model_copy(update={"cells": todo})
        if planned.refusal:
            refused.append(replace(planned, job=job))
        else:
            attacks.append(job)
    attacks = _in_order(attacks)
    needed = {model_id for job in attacks for model_id in job.needs}
    trainings, kept = _trainings(grid, store, needed, keeps)
    trainings += missing_teachers(trainings, store)
    kept_failures = frozenset(failed | kept)
    return Todo(
        trainings, attacks, refused, len(seen), cached, len(failed), frozenset(finished), kept_failures
    )


def _in_order(attacks: list[AttackJob]) -> list[AttackJob]:
    """Lets attacks wait for those that they follow."""
    followed = {cell for job in attacks for cell in job.after}
    labels = {}
    for job in attacks:
        if cells := followed.intersection(job.cells.values()):
            labels.update(dict.fromkeys(cells, (job.id, job.label)))
    return [job.waiting_for(labels) for job in attacks]


class _Kept:
    """Decides which failures of earlier runs are kept."""

    def __init__(self, store: Store, retry_failed: bool) -> None:
        self._store = store
        self._retry = retry_failed
        self._lost: dict[str, bool] = {}

    def cell(self, job: AttackJob, cell_id: str, waiting: set[str]) -> bool:
        """Whether a cell failed and is not tried again; `waiting` are the cells that are made first."""
        if self._retry or not waiting.isdisjoint(job.after):  # it may have failed for want of these
            return False
        record = self._store.cell(cell_id)
        return record is not None and record.status == "failed" and not self._has_lost(job)

    def training(self, job: TrainJob) -> bool:
        """Whether a training failed and is not tried again."""
        record = None if self._retry else self._store.model(job.id)
        return record is not None and record.status == "failed"

    def _has_lost(self, job: AttackJob) -> bool:
        """Whether a model that an attack needs was trained, and has no checkpoint now."""
        return any(self._is_lost(one) for one in (job.model, job.source) if isinstance(one, TrainJob))

    def _is_lost(self, training: TrainJob) -> bool:
        if training.id not in self._lost:
            self._lost[training.id] = _is_done(training, self._store) and not _is_usable(
                training, self._store
            )
        return self._lost[training.id]


def missing_teachers(trainings: Iterable[TrainJob], store: Store) -> list[TrainJob]:
    """Lists the trainings that others need, directly or through others, and that are not done yet."""
    listed = {job.id: job for job in trainings}
    missing: dict[str, TrainJob] = {}
    waiting = list(listed.values())
    while waiting:
        for teacher in waiting.pop(0).teachers.values():
            if teacher.id not in listed and teacher.id not in missing and not _is_usable(teacher, store):
                missing[teacher.id] = teacher
                waiting.append(teacher)
    return list(missing.values())


def _is_done(job: TrainJob, store: Store) -> bool:
    record = store.model(job.id)
    return record is not None and record.status == "done"


def _is_usable(job: TrainJob, store: Store) -> bool:
    """Whether a model is done and can be loaded."""
    return _is_done(job, store) and (not job.trained or store.has_checkpoint(job.id))


def _trainings(grid: Grid, store: Store, needed: set[str], keeps: _Kept) -> tuple[list[TrainJob], set[str]]:
    """Finds the trainings that an attack or a row needs and that are not done yet; and those that failed."""
    asked = {model.job.id for model in grid.models if model.has_row and not model.refusal}
    trainings = []
    kept = set()
    # Those that have a row come first, then the sources of transferred attacks.
    for model in {m.job.id: m for m in sorted(grid.models, key=lambda m: not m.has_row)}.values():
        lacks_checkpoint = model.job.id in needed and not _is_usable(model.job, store)
        failed = keeps.training(model.job)
        is_missing = not _is_done(model.job, store) and not failed
        if lacks_checkpoint or (model.job.id in asked and is_missing):
            trainings.append(model.job)
        elif failed:
            kept.add(model.job.id)
    return trainings, kept
