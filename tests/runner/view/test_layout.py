from dataclasses import replace

import pytest

from benchmark.data import Folders
from benchmark.planning.grid import build_grid
from benchmark.planning.resolve import resolve
from benchmark.planning.setting_names import SettingNames
from benchmark.planning.todo import find_todo
from benchmark.records import Store
from benchmark.runner.view.board import TRAIN, Column, State
from benchmark.runner.view.layout import board_of, costs_of


@pytest.fixture
def planned(tmp_path):
    options = {
        "datasets": ["digits"],
        "defenses": ["vanilla", "pgd_at"],
        "attacks": [
            "fgsm[objective=own]",
            "noise",
            "pgd[objective=own,steps=2]",
            "pgd[objective=shift,steps=2]",
        ],
        "seeds": [0, 1],
        "checks": False,
        "output": str(tmp_path),
    }
    grid = build_grid(resolve(options), Folders(tmp_path, tmp_path))
    todo = find_todo(grid, Store(tmp_path))
    return grid, todo, SettingNames(model.job.key for model in grid.models)


def test_every_job_stands_at_its_defense_and_attack(planned):
    grid, todo, names = planned
    board = board_of(grid, todo, names)
    assert board.blocks == [""]
    assert board.rows()[:2] == ["vanilla", "pgd_at"]
    assert board.columns[:2] == [TRAIN, Column("clean")]
    assert Column("pgd", "own") in board.columns and Column("pgd", "shift") in board.columns
    assert board.tally().counts == {State.WAITING: len(todo.jobs)}
    assert board.tally(rows=["vanilla"], columns=[TRAIN]).total == 2  # one of each seed
    for job in todo.jobs:
        board.set(job.id, State.DONE)
    assert board.tally().counts[State.DONE] == len(todo.jobs)


def test_budgets_are_named_where_there_are_several(tmp_path):
    options = {
        "datasets": ["digits"],
        "defenses": ["vanilla"],
        "attacks": ["noise"],
        "eps": ["0.05", "0.1"],
        "checks": False,
        "output": str(tmp_path),
    }
    grid = build_grid(resolve(options), Folders(tmp_path, tmp_path))
    board = board_of(grid, find_todo(grid, Store(tmp_path)), SettingNames(m.job.key for m in grid.models))
    assert {column.budget for column in board.columns} == {"", "linf 0.05", "linf 0.1"}


def test_what_is_not_to_do_is_cached_failed_or_skipped(planned):
    grid, todo, names = planned
    failed, refused, *_ = [attack for attack in grid.attacks if attack.job.attack == "noise"]
    training = grid.models[0].job.id
    grid.attacks = [
        replace(attack, refusal="it cannot be trained") if attack is refused else attack
        for attack in grid.attacks
    ]
    kept = frozenset({next(iter(failed.job.cells.values())), training})
    board = board_of(grid, replace(todo, trainings=[], attacks=[], kept_failures=kept), names)
    counts = board.tally().counts
    assert counts[State.FAILED] == 2
    assert counts[State.SKIPPED] == 1
    assert counts[State.CACHED] == board.tally().total - 3
    assert board.tally(columns=[TRAIN]).counts[State.FAILED] == 1


def test_costs_know_kinds_needs_and_bounds(tmp_path):
    options = {
        "datasets": ["digits"],
        "defenses": ["vanilla"],
        "attacks": ["cascade"],
        "checks": False,
        "output": str(tmp_path),
    }
    folders = Folders(tmp_path, tmp_path)
    grid = build_grid(resolve(options), folders)
    todo = find_todo(grid, Store(tmp_path))
    found = costs_of(todo, {job.id: 3.0 for job in todo.jobs})
    training = todo.trainings[0]
    assert found[training.id].kind == ("smallconv", "digits", "training")
    assert found[training.id].units == 3.0
    bounds = {job.id for job in todo.attacks if job.follows}
    assert bounds
    assert {job_id for job_id, cost in found.items() if cost.is_bound} == bounds
    attacks = [job for job in todo.attacks if job.model.id == training.id]
    assert attacks and all(training.id in found[job.id].needs for job in attacks)
