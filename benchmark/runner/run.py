"""A run: what of a grid is not done yet, done."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from benchmark.core.cpu import cores
from benchmark.core.errors import UsageError
from benchmark.jobs.attack_job import AttackJob
from benchmark.jobs.estimate import Estimator
from benchmark.jobs.job import fail_cells
from benchmark.jobs.train_job import RunContext, TrainJob
from benchmark.planning.config import Configuration
from benchmark.planning.grid import Grid
from benchmark.planning.selection import fetch_weights
from benchmark.records import RunManifest
from benchmark.records.provenance import provenance
from benchmark.records.store import Store
from benchmark.runner.check_models import judge
from benchmark.runner.executor import Job, run_jobs
from benchmark.runner.progress import Epochs, Progression
from benchmark.training import SavePoint


@dataclass(frozen=True)
class Plan:
    """What is left to do of a grid.

    Attributes:
        trainings, attacks: the jobs.
        cells: number of all cells.
        cached: number of those that are done.
    """

    trainings: list[TrainJob]
    attacks: list[AttackJob]
    cells: int
    cached: int


def resolve_device(asked: str) -> str:
    """The device for "auto", "cpu" or "cuda".

    Raises:
        UsageError: when a GPU is asked for and there is none.
    """
    if asked == "cuda" and not torch.cuda.is_available():
        raise UsageError("There is no CUDA device here; use --device cpu or --device auto.")
    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return asked


def default_workers(device: str) -> int:
    """One for each core that this process may use; one for a GPU."""
    if device == "cuda":
        return 1
    return cores()


def plan(grid: Grid, store: Store) -> Plan:
    """Finds the cells that have no record of success yet, and the models that they need."""
    attacks = []
    cached = 0
    seen: set[str] = set()  # a model may have a row in both compute modes
    for job in grid.attacks:
        todo = {}
        for scenario, cell_id in job.cells.items():
            if cell_id in seen:
                continue
            seen.add(cell_id)
            refused = grid.refusal(job) is not None and store.cell(cell_id) is not None
            if refused or store.finished(cell_id):
                cached += 1
            else:
                todo[scenario] = cell_id
        if todo:
            attacks.append(job.model_copy(update={"cells": todo}))
    needed = {training.id for job in attacks if not grid.refusal(job) for training in job.trainings}
    asked = {training.id for training in grid.trainings} - grid.refused.keys()
    trainings = []
    for training in {job.id: job for job in [*grid.trainings, *grid.sources]}.values():
        record_of_model = store.model(training.id)
        done = record_of_model is not None and record_of_model.status == "done"
        usable = done and store.has_checkpoint(training.id)
        if (training.id in needed and not usable) or (training.id in asked and not done):
            trainings.append(training)
    return Plan(trainings, attacks, len(seen), cached)


def cost_of(todo: Plan, costs: Mapping[int, float]) -> str:
    """What a run will take, in words, to be told before it starts."""
    attacking = sum(costs.get(id(job), 0.0) for job in todo.attacks)
    training = sum(costs.get(id(job), 0.0) for job in todo.trainings)
    return (
        f"To do: {len(todo.trainings)} models to train ({training:,.0f} passes of one image), "
        f"{len(todo.attacks)} attacks ({attacking:,.0f} passes); "
        f"{todo.cached} of {todo.cells} cells are cached.\n"
    )


def epochs_of(job: Job, store: Store) -> Epochs:
    """How far a job is, as the last save of a training tells; attacks do not."""
    notes = SavePoint(store.unfinished(job.id)).notes() if isinstance(job, TrainJob) else None
    return Epochs(notes["epoch"], notes["epochs"]) if notes else Epochs(0, 0)


def manifest(grid: Grid, config: Configuration, command: str, place: RunContext) -> RunManifest:
    """The grid as the report reads it."""
    return RunManifest(
        command=command,
        config=config.model_dump(mode="json"),
        suite=grid.suite,
        compute=list(config.compute),
        budget=config.budget,
        references=grid.references,
        models=grid.models(),
        cells=grid.cells(),
        skipped=list(dict.fromkeys([*grid.skipped, *grid.refused.values()])),
        descriptions=grid.descriptions(),
        provenance=provenance(place.device, place.commit),
    )


def run(
    grid: Grid, config: Configuration, store: Store, place: RunContext, command: str, shown: bool
) -> Counter[str]:
    """Computes what is missing of a grid.

    Args:
        grid: what is asked for.
        config: where it came from.
        store: where records are.
        place: where jobs run.
        command: the command line, for the manifest.
        shown: whether progress is shown.

    Returns:
        How many cells are "done", "failed", "skipped" in the end.

    Raises:
        BenchmarkError: when pretrained weights cannot be had; nothing has been run or written then.
    """
    todo = plan(grid, store)
    fetch_weights(training.key for training in todo.trainings)
    store.save_manifest(manifest(grid, config, command, place))
    for job in todo.attacks:
        if reason := grid.refusal(job):
            fail_cells(job, reason, place, status="skipped")
    attacks = [job for job in todo.attacks if not grid.refusal(job)]
    jobs: list[Job] = [*todo.trainings, *attacks]
    if jobs:
        estimator = Estimator(place.folders)
        costs = {id(job): estimator.cost(job) for job in jobs}
        if shown:
            sys.stdout.write(cost_of(todo, costs))
        progression = Progression(costs, shown, lambda job: epochs_of(job, store))
        workers = min(place.workers, len(jobs))
        try:
            run_jobs(
                todo.trainings,
                attacks,
                lambda job: costs[id(job)],
                place,
                workers,
                progression.start,
                progression.finish,
                progression.wait,
            )
        finally:
            progression.close()
    # Again, so that the board is this run's even if another one has begun in the same folder meanwhile.
    final = manifest(grid, config, command, place)
    store.save_manifest(final)
    judge(store, final)
    records = [store.cell(cell_id) for cell_id in {cell.id for cell in grid.cells()}]
    return Counter(record.status if record else "failed" for record in records)
