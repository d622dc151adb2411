"""The jobs of a grid that are not done yet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from benchmark.data import Folders
from benchmark.jobs import AttackJob, Job, TrainJob
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
    """

    trainings: list[TrainJob]
    attacks: list[AttackJob]
    refused: list[PlannedJob]
    cells: int
    cached: int

    @property
    def jobs(self) -> list[Job]:
        """The trainings, then the attacks."""
        return [*self.trainings, *self.attacks]

    @property
    def is_bound(self) -> bool:
        """Whether the costs are upper bounds, because some attacks run only on queries that still stand."""
        return any(job.follows for job in self.attacks)

    def costs(self, folders: Folders) -> dict[str, float]:
        """Estimates the cost units of each job, by its id; see `is_bound`."""
        return {job.id: job.cost(folders) for job in self.jobs}


def find_todo(grid: Grid, store: Store) -> Todo:
    """Finds the cells that are not done yet, and the trainings that they need."""
    attacks, refused = [], []
    cached = 0
    seen: set[str] = set()  # a model may have a row in both compute modes
    for planned in grid.attacks:
        todo = {}
        pictures = grid.save_images and planned.role == "suite" and planned.job.pictured
        drawn = not pictures or int(store.images(pictures).get("asked", 0)) >= grid.save_images
        for scenario, cell_id in planned.job.cells.items():
            if cell_id in seen:
                continue
            seen.add(cell_id)
            recorded = planned.refusal and store.cell(cell_id) is not None
            if recorded or (store.finished(cell_id) and (drawn or cell_id != pictures)):
                cached += 1
            else:
                todo[scenario] = cell_id
        if not todo:
            continue
        job = planned.job.model_copy(update={"cells": todo})
        if planned.refusal:
            refused.append(replace(planned, job=job))
        else:
            attacks.append(job)
    by_cell = {cell: job for job in attacks for cell in job.cells.values()}
    attacks = [job.waiting_for(by_cell) for job in attacks]
    needed = {model_id for job in attacks for model_id in job.needs}
    trainings = _trainings(grid, store, needed)
    trainings += missing_teachers(trainings, store)
    return Todo(trainings, attacks, refused, len(seen), cached)


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


def _trainings(grid: Grid, store: Store, needed: set[str]) -> list[TrainJob]:
    """Finds the trainings that an attack or a row needs and that are not done yet."""
    asked = {model.job.id for model in grid.models if model.has_row and not model.refusal}
    trainings = []
    # Those that have a row come first, then the sources of transferred attacks.
    for model in {m.job.id: m for m in sorted(grid.models, key=lambda m: not m.has_row)}.values():
        lacks_checkpoint = model.job.id in needed and not _is_usable(model.job, store)
        if lacks_checkpoint or (model.job.id in asked and not _is_done(model.job, store)):
            trainings.append(model.job)
    return trainings
