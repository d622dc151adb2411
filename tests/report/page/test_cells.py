from dataclasses import replace
from math import isnan

from benchmark.report.boards import AFTER
from benchmark.report.page import cells as cells_module
from benchmark.report.page.cells import cell_table

from ..fake_run import NOISE, OWN, FakeRun
from .conftest import shown

SMALL = {"classes": 8, "per_class": 4}


def test_a_line_of_cells_holds_those_of_all_seeds(both_seeds):
    run, _ = both_seeds
    table = cell_table(run)
    assert table.left_out == 0 and len(table.grid.lines) == len(run.cells) / 2
    for value in shown(table.grid, "value"):
        assert "seed 0: " in value.detail and "seed 1: " in value.detail and not isnan(value.sort)
    assert {value.text for value in shown(table.grid, "role")} == {"clean", "suite", "budgets"}
    assert {value.text for value in shown(table.grid, "status")} == {"done"}


def test_cells_without_metrics_say_why(tables_of):
    fake = FakeRun(
        failed_attacks={("pgd_at", OWN): "too\nfar"}, missing={("vanilla", NOISE)}, seeds=(0,), **SMALL
    )
    run, _ = tables_of(fake)
    grid = cell_table(run).grid
    lacking = [line for line in grid.lines if "cells without metrics" in line.labels]
    assert len(lacking) == 4
    assert {line.values[-1].detail for line in lacking} == {
        "0 of 1 done\nfailed: too far", "0 of 1 done\nfailed: not run yet"
    }  # fmt: skip


def test_attacks_that_follow_others_are_marked(tables_of, tmp_path):
    fake = FakeRun(seeds=(0,), **SMALL)
    run, _ = tables_of(fake)
    wanted = ("pgd_at", "retrieval-query", NOISE)
    keys = [(cell.key.defense, cell.key.scenario, cell.key.attack) for cell in run.cells]
    place = keys.index(wanted)
    record = run.cells[place].record.model_copy(update={"follows": ["c-other"]})
    run.cells[place] = replace(run.cells[place], record=record)
    lines = [line for line in cell_table(run).grid.lines if f"{AFTER} follows other attacks" in line.labels]
    (line,) = lines
    assert [mark.text for value in line.values for mark in value.marks] == [AFTER]


def test_too_many_lines_are_left_out_and_counted(both_seeds, monkeypatch):
    run, _ = both_seeds
    monkeypatch.setattr(cells_module, "LIMIT", 10)
    table = cell_table(run)
    assert len(table.grid.lines) == 10 and table.left_out == len(run.cells) / 2 - 10
    assert {value.text for value in shown(table.grid, "role")} == {"clean", "suite"}  # these count first
