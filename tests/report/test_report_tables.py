import numpy as np
import pandas as pd
import pytest
from fake_run import CLUSTERING, NEIGHBOUR, NOISE, OWN, RETRIEVAL, FakeRun

from benchmark.records.store import Store
from benchmark.report.cell_results import Run
from benchmark.report.csv_files import CELL_COLUMNS, LEADERBOARD_COLUMNS, cells_frame, leaderboard_frame
from benchmark.report.tables import collect

EXPECTED_LEADERBOARD = (
    "rank,rank_low,rank_high,dataset,backbone,loss,defense,suite,norm,eps,compute,n_seeds,clean_ami,clean_ami_std,"
    "clean_nmi,clean_r1,clean_r1_std,worst_ami,worst_ami_std,worst_nmi,worst_r1,worst_r1_std,"
    "worst_attack_clustering,worst_attack_retrieval,train_seconds,train_cost,epochs,best_epoch,embed_cost,checks,"
    "check_randomised,check_zero_gradient,check_one_step_beats_many,check_black_box_beats_white_box,"
    "check_transfer_beats_white_box,check_suite_too_weak,check_unbounded,check_not_monotone,check_not_converged,check_collapsed,"
    "check_rescored,failed_cells,"
    "protocol,commit"
)
EXPECTED_CELLS = (
    "dataset,backbone,loss,defense,seed,scenario,attack,norm,eps,compute,metric,value,status,reason,seconds,"
    "forward_passes,backward_passes,protocol,commit"
)


def cells(run, defense, seed, scenario):
    return [
        outcome
        for outcome in run.outcomes
        if (outcome.key.defense, outcome.key.seed, outcome.key.scenario) == (defense, seed, scenario)
    ]


def row_of(table, defense):
    return next(row for row in table.rows if row.defense == defense)


def test_columns_are_the_contract():
    assert ",".join(LEADERBOARD_COLUMNS) == EXPECTED_LEADERBOARD
    assert ",".join(CELL_COLUMNS) == EXPECTED_CELLS


def test_worst_r1_is_the_naive_minimum_per_query(tables_of):
    run, (table,) = tables_of(FakeRun())
    for row in table.rows:
        for figures in row.seeds:
            own = cells(run, row.defense, figures.seed, RETRIEVAL)
            used = [o for o in own if o.ref.role == "clean" or (o.ref.role == "suite" and o.key.eps == 0.1)]
            assert len(used) == 4
            outcomes = [run.arrays(outcome)["success"] for outcome in used]
            naive = np.mean([min(float(o[query]) for o in outcomes) for query in range(len(outcomes[0]))])
            assert figures.worst_r1 == pytest.approx(naive)


def test_worst_r1_leaves_out_attacks_of_the_figure_alone(tables_of):
    fake = FakeRun(attacks={NOISE: 0.05}, curve={NEIGHBOUR: 1.0}, curve_eps=(0.1,))
    run, (table,) = tables_of(fake)
    row = row_of(table, "vanilla")
    for figures in row.seeds:
        attack = next(o for o in cells(run, "vanilla", figures.seed, RETRIEVAL) if o.key.attack == NEIGHBOUR)
        assert attack.metric("r1") < figures.worst_r1
    assert row.worst_attack(RETRIEVAL, "r1") == NOISE
    assert row.worst_attack(CLUSTERING, "ami") == NEIGHBOUR


def test_worst_ami_takes_all_attacks_at_all_smaller_budgets(tables_of):
    run, (table,) = tables_of(FakeRun())
    for row in table.rows:
        for figures in row.seeds:
            own = cells(run, row.defense, figures.seed, CLUSTERING)
            assert {outcome.key.eps for outcome in own} == {0.0, 0.05, 0.1, 0.2}
            for metric in ("ami", "nmi"):
                least = min(outcome.metric(metric) for outcome in own if outcome.key.eps <= 0.1)
                assert getattr(figures, f"worst_{metric}") == pytest.approx(least)


def test_a_smaller_budget_can_set_the_worst_ami(tmp_path):
    fake = FakeRun(weakness={"pgd_at": 0.3}, references=(), seeds=(0,))
    manifest = fake.write(tmp_path / "run")
    store = Store(tmp_path / "run")
    for ref in manifest.cells:
        if ref.key.scenario == CLUSTERING and ref.key.eps in (0.05, 0.2):
            record = store.cell(ref.id)
            figure = 0.05 if ref.key.eps == 0.05 else 0.01
            changed = record.model_copy(update={"metrics": {**record.metrics, "ami": figure}})
            store.save_cell(changed, store.arrays(ref.id))
    (table,) = collect(Run(store))
    (figures,) = table.rows[0].seeds
    assert figures.worst_ami == 0.05
    assert figures.worst_cell.key.eps == 0.05


def test_smaller_budgets_of_the_suite_count_too_and_each_has_its_table(tables_of):
    _, tables = tables_of(FakeRun(eps=(0.05, 0.1), curve={}, curve_eps=()))
    assert [table.key.eps for table in tables] == [0.05, 0.1]
    small, large = (row_of(table, "pgd_at") for table in tables)
    assert small.mean("worst_ami") >= large.mean("worst_ami")
    assert {o.key.eps for o in large.outcomes if o.key.scenario == RETRIEVAL} == {0.0, 0.1}
    assert len(leaderboard_frame(tables)) == 8


def test_standard_deviation_has_ddof_1_and_is_empty_for_one_seed(tables_of):
    _, tables = tables_of(FakeRun(seeds=(0, 1, 2)))
    frame = leaderboard_frame(tables).set_index("defense")
    row = row_of(tables[0], "pgd_at")
    for name in ("clean_ami", "worst_ami", "clean_r1", "worst_r1"):
        values = [getattr(figures, name) for figures in row.seeds]
        assert len(values) == 3
        assert frame.loc["pgd_at", name] == pytest.approx(np.mean(values), abs=1e-6)
        assert frame.loc["pgd_at", f"{name}_std"] == pytest.approx(np.std(values, ddof=1), abs=1e-6)
    assert frame.loc["pgd_at", "n_seeds"] == 3
    assert frame.loc["pgd_at", "train_seconds"] == pytest.approx(41.0)
    assert frame.loc["pgd_at", "train_cost"] == 4.0
    _, tables = tables_of(FakeRun(seeds=(0,)), "one")
    single = leaderboard_frame(tables)
    assert single[["clean_ami_std", "worst_ami_std", "clean_r1_std", "worst_r1_std"]].isna().all(axis=None)


def test_worst_attack_is_the_lowest_standalone_mean(tables_of):
    run, (table,) = tables_of(FakeRun())
    for row in table.rows:
        means = {}
        for attack in (OWN, NEIGHBOUR, NOISE):
            found = [
                o
                for o in run.outcomes
                if (o.key.defense, o.key.attack, o.key.eps) == (row.defense, attack, 0.1)
            ]
            means[attack] = np.mean([o.metric("ami") for o in found if o.key.scenario == CLUSTERING])
        assert row.worst_attack(CLUSTERING, "ami") == min(means, key=means.get)


def test_failed_and_missing_cells_are_shown(tables_of):
    fake = FakeRun(
        failed_trainings={"vanilla": "the loss is not a number"},
        failed_attacks={("pgd_at", NOISE): "it left\nits ball"},
        missing={("eat[members=3]", OWN)},
    )
    run, tables = tables_of(fake)
    frame, figures = leaderboard_frame(tables).set_index("defense"), cells_frame(run)
    per_model = len(run.manifest.cells) // len(run.manifest.models)
    assert frame.loc["vanilla", "failed_cells"] == 2 * per_model
    assert frame.loc["vanilla", ["rank", "worst_ami", "clean_r1"]].isna().all()
    assert frame.loc["vanilla", "n_seeds"] == 0
    assert frame.loc["pgd_at", "failed_cells"] == frame.loc["eat[members=3]", "failed_cells"] == 4
    assert frame.loc["pixels", "failed_cells"] == 0

    left = figures[figures.status != "done"]
    assert len(left) == 2 * per_model + 4 + 4
    assert left.metric.isna().all() and left.value.isna().all()
    reasons = left.groupby("defense").reason.unique().map(list).to_dict()
    assert reasons == {
        "vanilla": ["training failed: the loss is not a number"],
        "pgd_at": ["it left its ball"],
        "eat[members=3]": ["not run yet"],
    }
    assert set(left.status) == {"failed"}


def test_attacks_that_all_failed_leave_the_worst_case_empty(tables_of):
    fake = FakeRun(failed_attacks={("pgd_at", attack): "no" for attack in (OWN, NEIGHBOUR, NOISE)})
    _, (table,) = tables_of(fake)
    row = row_of(table, "pgd_at")
    assert row.mean("clean_ami") > 0
    assert np.isnan(row.mean("worst_ami")) and np.isnan(row.mean("worst_r1"))
    assert row.rank is None


@pytest.mark.parametrize("part", ["cells", "arrays"])
def test_damaged_files_are_not_trusted(tmp_path, part):
    fake = FakeRun()
    manifest = fake.write(tmp_path / "run")
    ref = next(r for r in manifest.cells if r.key.defense == "pgd_at" and r.key.attack == NEIGHBOUR)
    (path,) = (tmp_path / "run" / "store" / part).glob(f"{ref.id}.*")
    path.write_bytes(path.read_bytes()[:40])
    run = Run(Store(tmp_path / "run"))
    (broken,) = [outcome for outcome in run.outcomes if not outcome.done]
    assert broken.ref == ref
    assert broken.status == "failed"
    assert broken.reason == ("not run yet" if part == "cells" else "its arrays on disk are damaged")
    assert np.isnan(broken.metric("ami"))


def test_clean_cells_are_written_as_the_contract_says(tables_of):
    run, _ = tables_of(FakeRun())
    figures = cells_frame(run)
    clean = figures[figures.attack == "none"]
    assert (clean.norm == "none").all() and (clean.eps == 0).all()
    assert set(clean[clean.scenario == CLUSTERING].metric) == {"ami", "nmi", "f1"}
    assert set(clean[clean.scenario == RETRIEVAL].metric) == {"r1", "r2", "map_r"}
    keys = ["dataset", "backbone", "loss", "defense", "seed", "scenario", "attack", "norm", "eps", "metric"]
    pd.testing.assert_frame_equal(figures, figures.sort_values(keys, ignore_index=True))
    assert not figures.duplicated(keys).any()


def test_one_scenario_leaves_the_others_columns_empty(tables_of):
    for scenario, empty in ((CLUSTERING, "r1"), (RETRIEVAL, "ami")):
        _, tables = tables_of(FakeRun(scenarios=(scenario,)), scenario)
        frame = leaderboard_frame(tables)
        assert frame[[f"clean_{empty}", f"worst_{empty}"]].isna().all(axis=None)
        assert frame[frame.defense != "pixels"]["rank"].notna().all()


def test_commits_of_several_runs_are_joined(tables_of):
    fake = FakeRun(commits={"pgd_at": "fedcba9"})
    _, tables = tables_of(fake)
    frame = leaderboard_frame(tables).set_index("defense")
    assert frame.loc["pgd_at", "commit"] == "fedcba9"
    assert frame.loc["vanilla", "commit"] == "0123abc"
    tables[0].rows[0].models[0] = (
        tables[0]
        .rows[0]
        .models[0]
        .model_copy(
            update={"provenance": tables[0].rows[0].models[0].provenance.model_copy(update={"commit": "aaa"})}
        )
    )
    assert "+" in leaderboard_frame(tables).iloc[0].commit


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
