import numpy as np
import pandas as pd
import pytest

from benchmark.records import Store
from benchmark.report.cell_results import Run
from benchmark.report.csv_files import cells_frame, leaderboard_frame
from benchmark.report.tables import collect

from .fake_run import CLUSTERING, EQUAL_EPOCHS, EQUAL_PASSES, NEIGHBOUR, NOISE, OWN, RETRIEVAL, FakeRun

BOTH_MODES = {"compute": (EQUAL_EPOCHS, EQUAL_PASSES), "alike": ("eat[members=3]", "pixels"), "seeds": (0,)}


def row_of(table, defense):
    return next(row for row in table.rows if row.defense == defense)


def test_worst_cases_worked_out_by_hand(by_hand):
    _, table = by_hand
    (row,) = table.rows
    # AMI: the lowest of all attacks up to eps 0.1; the 0.1 at eps 0.2 does not count.
    assert [seed.worst_ami for seed in row.seeds] == pytest.approx([0.4, 0.3])
    assert [seed.worst_nmi for seed in row.seeds] == pytest.approx([0.4, 0.3])
    assert [seed.worst_cell.key.attack for seed in row.seeds] == [OWN, OWN]
    # R@1: of ten queries, 0 to 5 fail under one attack or another; no attack alone takes more than four.
    assert [seed.worst_r1 for seed in row.seeds] == pytest.approx([0.4, 0.4])
    assert row.standalone(RETRIEVAL, "r1") == pytest.approx({OWN: 0.7, NEIGHBOUR: 0.6, NOISE: 0.9})
    assert row.standalone(CLUSTERING, "ami") == pytest.approx({OWN: 0.35, NEIGHBOUR: 0.5, NOISE: 0.8})
    assert row.worst_attack(RETRIEVAL, "r1") == NEIGHBOUR
    assert row.worst_attack(CLUSTERING, "ami") == OWN


def test_worst_r1_leaves_out_attacks_of_the_plot_over_eps(tables_of):
    fake = FakeRun(attacks={NOISE: 0.05}, curve={NEIGHBOUR: 1.0}, curve_eps=(0.1,))
    run, (table,) = tables_of(fake)
    row = row_of(table, "vanilla")
    worst = {seed.seed: seed.worst_r1 for seed in row.seeds}
    found = [
        cell
        for cell in run.table_cells
        if (cell.key.defense, cell.key.scenario, cell.key.attack) == ("vanilla", RETRIEVAL, NEIGHBOUR)
    ]
    assert len(found) == 2
    assert all(cell.metric("r1") < worst[cell.key.seed] for cell in found)
    assert row.worst_attack(RETRIEVAL, "r1") == NOISE
    assert row.worst_attack(CLUSTERING, "ami") == NEIGHBOUR


def test_a_smaller_budget_can_set_the_worst_ami(tmp_path):
    manifest = FakeRun(weakness={"pgd_at": 0.3}, references=(), seeds=(0,)).write(tmp_path / "run")
    store = Store(tmp_path / "run")
    for ref in manifest.cells:
        if ref.key.scenario == CLUSTERING and ref.key.eps in (0.05, 0.2):
            record = store.cell(ref.id)
            ami = 0.05 if ref.key.eps == 0.05 else 0.01
            store.save_cell(record.model_copy(update={"metrics": {**record.metrics, "ami": ami}}))
    (table,) = collect(Run(store))
    (seed,) = table.rows[0].seeds
    assert seed.worst_ami == 0.05
    assert seed.worst_cell.key.eps == 0.05


def test_smaller_budgets_of_the_suite_count_too_and_each_has_its_table(tables_of):
    run, tables = tables_of(FakeRun(eps=(0.05, 0.1), curve={}, curve_eps=()))
    assert [table.key.eps for table in tables] == [0.05, 0.1]
    small, large = (row_of(table, "pgd_at") for table in tables)
    assert small.mean("worst_ami") >= large.mean("worst_ami")
    assert {cell.key.eps for cell in large.cells if cell.key.scenario == RETRIEVAL} == {0.0, 0.1}
    assert len(leaderboard_frame(run, tables)) == 8


def test_attacks_that_all_failed_leave_the_worst_case_empty(tables_of):
    fake = FakeRun(failed_attacks={("pgd_at", attack): "no" for attack in (OWN, NEIGHBOUR, NOISE)})
    _, (table,) = tables_of(fake)
    row = row_of(table, "pgd_at")
    assert row.mean("clean_ami") > 0
    assert np.isnan(row.mean("worst_ami")) and np.isnan(row.mean("worst_r1"))
    assert row.rank is None


def test_rows_that_share_their_cells_are_all_there(tables_of, tmp_path):
    fake = FakeRun()
    run, (table,) = tables_of(fake)
    manifest = run.manifest
    again = {"backbone": "other[pretrained=none]"}  # another name of the same weights
    twice = manifest.model_copy(
        update={
            name: [
                *refs,
                *(ref.model_copy(update={"key": ref.key.model_copy(update=again)}) for ref in refs),
            ]
            for name, refs in (("models", manifest.models), ("cells", manifest.cells))
        }
    )
    Store(tmp_path / "run").save_manifest(twice)
    tables = collect(Run(Store(tmp_path / "run")))
    assert len(tables) == 2
    assert [[row.defense for row in one.rows] for one in tables] == [
        [row.defense for row in tables[0].rows]
    ] * 2
    assert {row.seeds[0].worst_ami for row in tables[0].rows} == {
        row.seeds[0].worst_ami for row in table.rows
    }


def test_each_mode_has_its_table_with_equal_epochs_first(tables_of):
    _, tables = tables_of(FakeRun(**BOTH_MODES, eps=(0.05, 0.1), curve={}, curve_eps=()))
    assert [(table.key.eps, table.key.compute) for table in tables] == [
        (0.05, EQUAL_EPOCHS), (0.05, EQUAL_PASSES), (0.1, EQUAL_EPOCHS), (0.1, EQUAL_PASSES),
    ]  # fmt: skip
    assert all(len(table.rows) == 4 for table in tables)


def test_scores_of_one_mode_are_those_of_a_run_of_that_mode_alone(tables_of):
    """The same model keys in the other mode change nothing, not even over eps."""
    run, both = tables_of(FakeRun(**BOTH_MODES), "both")
    for table, mode in zip(both, (EQUAL_EPOCHS, EQUAL_PASSES), strict=True):
        other, (alone,) = tables_of(FakeRun(**BOTH_MODES | {"compute": (mode,)}), mode)
        pd.testing.assert_frame_equal(leaderboard_frame(run, [table]), leaderboard_frame(other, [alone]))
    first, second = (row_of(table, "vanilla") for table in both)
    assert first.mean("worst_ami") < second.mean("worst_ami")


def test_a_model_of_both_modes_is_checked_and_shown_in_both(tables_of):
    run, tables = tables_of(FakeRun(**BOTH_MODES, checks={}))
    first, second = (row_of(table, "eat[members=3]") for table in tables)
    assert first.checks == second.checks and not first.failing
    assert {check.status for check in second.checks.values()} == {"pass"}
    assert [cell.ref.id for cell in first.cells] == [cell.ref.id for cell in second.cells]
    frame = cells_frame(run)
    counts = frame.groupby(["defense", "compute"]).size()
    assert (
        counts["eat[members=3]", EQUAL_EPOCHS]
        == counts["eat[members=3]", EQUAL_PASSES]
        == counts["vanilla", EQUAL_EPOCHS]
    )
    keys = ["compute", "defense", "seed", "scenario", "attack", "norm", "eps", "metric"]
    assert not frame.duplicated(keys).any()


def test_the_first_mode_asked_for_leads(tmp_path):
    FakeRun(**BOTH_MODES | {"compute": (EQUAL_PASSES, EQUAL_EPOCHS)}).write(tmp_path)
    assert [table.lead for table in collect(Run(Store(tmp_path)))] == [False, True]


def test_tables_are_ordered_by_the_names_that_readers_see(tmp_path):
    FakeRun(datasets=("folder:/a/z", "glyphs"), short_names={"folder:/a/z": "z"}, seeds=(0,)).write(tmp_path)
    tables = collect(Run(Store(tmp_path)))
    assert [table.dataset for table in tables] == ["glyphs", "z"]
    assert tables[1].key.dataset == "folder:/a/z"
    assert tables[1].trained == "z, smallconv, proxy_anchor, equal epochs"
