import numpy as np
import pandas as pd
import pytest

from benchmark.core.spec import parse_spec
from benchmark.report import csv_files
from benchmark.report.csv_files import (
    CELL_COLUMNS,
    cells_frame,
    leaderboard_columns,
    leaderboard_frame,
    write_csv,
)

from .fake_run import CHECKS, CLUSTERING, NOISE, OWN, RETRIEVAL, FakeRun
from .own_models import HOME, models_alone, models_beside_defenses

EXPECTED_LEADERBOARD = (
    "rank,rank_low,rank_high,dataset,backbone,loss,defense,suite,norm,eps,compute,n_seeds,clean_ami,clean_ami_std,"
    "clean_nmi,clean_r1,clean_r1_std,worst_ami,worst_ami_std,worst_nmi,worst_r1,worst_r1_std,"
    "worst_attack_clustering,worst_attack_retrieval,train_seconds,train_cost,epochs,best_epoch,embed_cost,checks,"
    "check_randomised,check_zero_gradient,check_one_step_beats_many,check_black_box_beats_white_box,"
    "check_transfer_beats_white_box,check_suite_too_weak,check_unbounded,check_not_monotone,check_not_converged,"
    "check_collapsed,check_rescored,failed_cells,protocol,commit,source"
)
EXPECTED_CELLS = (
    "dataset,backbone,loss,defense,seed,scenario,attack,norm,eps,compute,metric,value,status,reason,seconds,"
    "forward_passes,backward_passes,protocol,commit,attacked_queries,note"
)


def test_columns_are_the_contract():
    assert ",".join(leaderboard_columns(CHECKS)) == EXPECTED_LEADERBOARD
    assert ",".join(CELL_COLUMNS) == EXPECTED_CELLS


def test_standard_deviation_has_ddof_1_and_is_empty_for_one_seed(tables_of):
    run, tables = tables_of(FakeRun(seeds=(0, 1, 2)))
    frame = leaderboard_frame(run, tables).set_index("defense")
    row = next(row for row in tables[0].rows if row.defense == "pgd_at")
    for name in ("clean_ami", "worst_ami", "clean_r1", "worst_r1"):
        values = [getattr(seed, name) for seed in row.seeds]
        assert len(values) == 3
        assert frame.loc["pgd_at", name] == pytest.approx(np.mean(values), abs=1e-6)
        assert frame.loc["pgd_at", f"{name}_std"] == pytest.approx(np.std(values, ddof=1), abs=1e-6)
    assert frame.loc["pgd_at", "n_seeds"] == 3
    assert frame.loc["pgd_at", "train_seconds"] == pytest.approx(41.0)
    assert frame.loc["pgd_at", "train_cost"] == 4.0
    run, tables = tables_of(FakeRun(seeds=(0,)), "one")
    single = leaderboard_frame(run, tables)
    assert single[["clean_ami_std", "worst_ami_std", "clean_r1_std", "worst_r1_std"]].isna().all(axis=None)


def test_failed_and_missing_cells_are_shown(tables_of):
    fake = FakeRun(
        failed_trainings={"vanilla": "the loss is not a number"},
        failed_attacks={("pgd_at", NOISE): "it left\nits ball"},
        missing={("eat[members=3]", OWN)},
    )
    run, tables = tables_of(fake)
    frame, cells = leaderboard_frame(run, tables).set_index("defense"), cells_frame(run)
    per_model = len(run.manifest.cells) // len(run.manifest.models)
    assert frame.loc["vanilla", "failed_cells"] == 2 * per_model
    assert frame.loc["vanilla", ["rank", "worst_ami", "clean_r1"]].isna().all()
    assert frame.loc["vanilla", "n_seeds"] == 0
    assert frame.loc["pgd_at", "failed_cells"] == frame.loc["eat[members=3]", "failed_cells"] == 4
    assert frame.loc["pixels", "failed_cells"] == 0

    left = cells[cells.status != "done"]
    assert len(left) == 2 * per_model + 4 + 4
    assert left.metric.isna().all() and left.value.isna().all()
    reasons = left.groupby("defense").reason.unique().map(list).to_dict()
    assert reasons == {
        "vanilla": ["training failed: the loss is not a number"],
        "pgd_at": ["it left its ball"],
        "eat[members=3]": ["not run yet"],
    }
    assert set(left.status) == {"failed"}


def test_clean_cells_are_written_as_the_contract_says(tables_of):
    run, _ = tables_of(FakeRun())
    cells = cells_frame(run)
    clean = cells[cells.attack == "none"]
    assert (clean.norm == "none").all() and (clean.eps == 0).all()
    assert set(clean[clean.scenario == CLUSTERING].metric) == {"ami", "nmi", "f1"}
    assert set(clean[clean.scenario == RETRIEVAL].metric) == {"r1", "r2", "map_r"}
    keys = ["dataset", "backbone", "loss", "defense", "seed", "scenario", "attack", "norm", "eps", "metric"]
    pd.testing.assert_frame_equal(cells, cells.sort_values(keys, ignore_index=True))
    assert not cells.duplicated(keys).any()


def test_one_scenario_leaves_the_others_columns_empty(tables_of):
    for scenario, empty in ((CLUSTERING, "r1"), (RETRIEVAL, "ami")):
        run, tables = tables_of(FakeRun(scenarios=(scenario,)), scenario)
        frame = leaderboard_frame(run, tables)
        assert frame[[f"clean_{empty}", f"worst_{empty}"]].isna().all(axis=None)
        assert frame[frame.defense != "pixels"]["rank"].notna().all()


def test_commits_of_several_runs_are_joined(tables_of):
    fake = FakeRun(commits={"pgd_at": "fedcba9"})
    run, tables = tables_of(fake)
    frame = leaderboard_frame(run, tables).set_index("defense")
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
    assert "+" in leaderboard_frame(run, tables).iloc[0].commit


@pytest.mark.slow
def test_csv_reads_back(full_report):
    output, _ = full_report
    board = pd.read_csv(output / "leaderboard.csv")
    assert board["rank"].dropna().tolist() == sorted(board["rank"].dropna())
    assert board.worst_ami.dropna().between(-1, 1).all()
    assert (board.checks == "not run").all()
    assert board.set_index("defense").loc["pixels", "commit"] == "0123abc" or board.commit.notna().any()
    cells = pd.read_csv(output / "cells.csv", keep_default_na=False)
    assert set(cells.status) == {"done", "failed"}
    assert "nan" not in (output / "leaderboard.csv").read_text().lower()


@pytest.mark.slow
def test_short_names_replace_specs_with_paths(report_with_paths):
    output, _ = report_with_paths
    for name in ("leaderboard.csv", "cells.csv"):
        frame = pd.read_csv(output / name)
        assert set(frame.dataset) == {"birds[linf=8/255,size=32]", "glyphs"}
        assert set(frame.backbone) == {"resnet18[pretrained=r18.pt]"}
        assert "/home/me" not in (output / name).read_text()


def test_own_models_have_a_source_and_no_training(tables_of):
    run, tables = tables_of(models_beside_defenses())
    frame = leaderboard_frame(run, tables)
    sources = frame.drop_duplicates("defense").set_index("defense").source.to_dict()
    assert sources == {
        "pgd_at": "",
        "vanilla": "",
        "pixels": "",
        "distilled[table=table.pt]": "plugin:1a2b3c4d",
        "net.py:make[weights=net.safetensors]": "own model",
        "net.onnx": "own model",
    }
    own = frame[frame.source == "own model"]
    assert own[["train_seconds", "train_cost", "epochs", "best_epoch"]].isna().all(axis=None)
    assert set(own.embed_cost) == {2.0, 4.0} and own[own.defense == "net.onnx"]["rank"].isna().all()
    text = frame.to_csv() + cells_frame(run).to_csv()
    assert HOME not in text and "source=net.py:make" in text


def test_without_training_backbone_and_loss_are_none(tables_of):
    run, tables = tables_of(models_alone())
    frame = leaderboard_frame(run, tables)
    assert set(frame.backbone) == set(frame.loss) == set(frame.compute) == {"none"}


@pytest.mark.parametrize("name", ["NA", "null", "nan", "None", "N/A", "inf", "True", "_1"])
def test_names_read_back_as_they_are(tables_of, tmp_path, name):
    fake = FakeRun(weakness={name: 0.5}, references=(), seeds=(0,), datasets=("NaN", "null"))
    run, tables = tables_of(fake)
    for frame in (leaderboard_frame(run, tables), cells_frame(run)):
        write_csv(frame, tmp_path / "frame.csv")
        back = pd.read_csv(tmp_path / "frame.csv")
        assert {text.strip('"') for text in back["defense"]} == {name}
        assert list(back["dataset"].str.strip('"')) == list(frame["dataset"])
        assert [parse_spec(text).name for text in back["defense"]] == [name] * len(back)


def test_every_missing_value_of_pandas_is_quoted():
    from pandas._libs.parsers import STR_NA_VALUES

    assert STR_NA_VALUES - {""} <= csv_files._MISSING


def test_the_name_of_clean_cells_stays_as_it_is(tables_of, tmp_path):
    run, _ = tables_of(FakeRun(seeds=(0,)))
    write_csv(cells_frame(run), tmp_path / "cells.csv")
    assert "none" in set(pd.read_csv(tmp_path / "cells.csv")["attack"])


@pytest.mark.parametrize("eps", [8 / 255, 1e-7, 2e-7, 1 / 3, 0.1])
def test_budgets_read_back_exactly(tables_of, tmp_path, eps):
    run, tables = tables_of(FakeRun(eps=(eps,), curve={}, curve_eps=(), seeds=(0,)))
    for frame in (leaderboard_frame(run, tables), cells_frame(run)):
        write_csv(frame, tmp_path / "frame.csv")
        assert set(pd.read_csv(tmp_path / "frame.csv")["eps"]) <= {eps, 0.0}
        assert (pd.read_csv(tmp_path / "frame.csv")["eps"] == eps).any()
