"""Which jobs a run does again: what failed only when that is asked for."""

import numpy as np
import pytest

from benchmark.data import Folders
from benchmark.jobs import RunContext
from benchmark.planning.grid import build_grid
from benchmark.planning.resolve import resolve
from benchmark.planning.todo import find_todo
from benchmark.records import TrainingRecord


@pytest.fixture
def grid(tmp_path):
    given = {"datasets": "digits", "defenses": "vanilla", "attacks": "noise", "checks": False}
    return build_grid(resolve(given), Folders(tmp_path, tmp_path))


@pytest.fixture
def context(tmp_path):
    return RunContext(output=tmp_path, cache=tmp_path, data=tmp_path, device="cpu", commit="")


def counts(todo):
    return len(todo.trainings), len(todo.attacks), todo.failed


def train(grid, context):
    for job in {model.job.id: model.job for model in grid.models}.values():
        context.store.save_model(job._record(context, "done", training=TrainingRecord()))


def test_what_failed_is_tried_again_when_asked_for(grid, context):
    store = context.store
    trainings, attacks, _ = counts(find_todo(grid, store))
    for planned in grid.attacks:
        planned.job.fail("no", context)
    for model in grid.models:
        model.job.fail("no", context)
    todo = find_todo(grid, store)
    assert counts(todo) == (0, 0, todo.cells)
    assert todo.failures == f", {todo.cells} failed before (--retry-failed tries them again)"
    todo = find_todo(grid, store, retry_failed=True)
    assert counts(todo) == (trainings, attacks, 0)
    assert not todo.failures


def test_an_attack_that_failed_on_a_model_without_its_checkpoint_is_tried_again(grid, context):
    train(grid, context)
    for planned in grid.attacks:
        planned.job.fail("the checkpoint is damaged", context)
    todo = find_todo(grid, context.store)
    assert [job.key.defense for job in todo.trainings] == ["vanilla"]
    assert {job.model.key.defense for job in todo.attacks} == {"vanilla"}
    assert todo.failed == todo.cells / 2  # those of pixels, which are not trained


def test_a_failed_training_is_done_again_for_cells_without_records(grid, context):
    for model in grid.models:
        model.job.fail("no", context)
    todo = find_todo(grid, context.store)
    assert sorted(job.key.defense for job in todo.trainings) == ["pixels", "vanilla"]
    assert todo.attacks


def test_records_name_the_log(grid, context):
    job = grid.attacks[0].job
    job.fail("no", context, log="store/logs/a.txt")
    grid.models[0].job.fail("no", context, log="store/logs/b.txt")
    assert context.store.cell(next(iter(job.cells.values()))).log == "store/logs/a.txt"
    assert context.store.model(grid.models[0].job.id).log == "store/logs/b.txt"


def test_an_outcome_is_what_all_records_of_a_job_say(grid, context):
    store, model, job = context.store, grid.models[0].job, grid.attacks[0].job
    assert model.outcome(store) is None
    assert job.outcome(store) is None
    model.fail("no", context)
    first, *others = job.cells
    context.store.save_cell(job._record(first, context, "failed", "never"))
    assert model.outcome(store).reason == "no"
    assert (job.outcome(store) is None) == bool(others)
    for scenario in others:
        context.store.save_cell(job._record(scenario, context, "done", ""), {"success": np.zeros(2)})
    assert job.outcome(store).reason == "never"
    train(grid, context)
    assert model.outcome(store) is None  # without its checkpoint nobody can use it


def test_an_attack_that_failed_is_tried_again_with_what_it_follows(tmp_path, context):
    given = {"datasets": "digits", "defenses": "vanilla", "attacks": "cascade", "checks": False}
    grid, store = build_grid(resolve(given), Folders(tmp_path, tmp_path)), context.store
    # The source of transferred attacks has no checkpoint here, so they are always tried again.
    untrained = [one.job for one in grid.attacks if not one.job.model.trained and one.job.source is None]
    train(grid, context)
    for job in untrained:
        job.fail("what it follows is damaged", context)

    def to_do():
        todo = find_todo(grid, store).attacks
        return [job for job in todo if not job.model.trained and job.source is None]

    assert to_do() == []
    clean = next(job for job in untrained if not job.follows and job.attack == "none")
    cell = clean.cells["retrieval-query"]
    (store.root / "cells" / f"{cell}.json").unlink()
    again = to_do()
    assert [job.attack for job in again if not job.follows] == ["none"]
    assert {job.attack for job in again if job.follows} == {
        job.attack for job in untrained if cell in job.follows
    }
    assert all(clean.cells["retrieval-query"] in job.waits_for for job in again if job.follows)


def test_cells_that_are_done_are_listed(grid, context):
    job = grid.attacks[0].job
    for scenario, cell_id in job.cells.items():
        context.store.save_cell(job._record(scenario, context, "done", ""), {"success": np.zeros(2)})
        assert cell_id in find_todo(grid, context.store).finished
    todo = find_todo(grid, context.store)
    assert todo.finished == frozenset(job.cells.values())
    assert todo.cached == len(job.cells)
