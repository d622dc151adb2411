import pytest

from benchmark.core.errors import UsageError
from benchmark.records import Store
from benchmark.report.cell_results import Run
from benchmark.report.tables import collect
from benchmark.studies.ablation import read_studies

from ..report.fake_run import FakeRun


def test_scores_are_those_of_the_board(studied, tmp_path):
    _, _, models = studied
    assert models["defense"].unique().tolist() == ["eat", "eat[members=2]", "ensemble_at", "pgd_at"]
    assert models.groupby("defense")["seed"].apply(list).tolist() == [[0, 1, 2]] * 4
    board = {row.defense: row for row in collect(Run(Store(tmp_path / "run")))[0].rows}
    for name in ("clean_ami", "clean_r1", "worst_ami", "worst_r1"):
        for defense, mine in models.groupby("defense"):
            assert mine[name].mean() == pytest.approx(board[defense].mean(name))
    assert models["passes"].eq(4000).all()
    assert models["epochs"].eq(48).all()


def test_validation_is_that_of_the_epoch_that_was_kept(studied):
    studies, _, models = studied
    record = studies[0].models[studies[0].refs[0].id]
    assert record.best_epoch < record.epochs
    assert models["validation"][0] == max(result.score for result in record.validations)


def test_tables_beside_the_first_of_a_data_set_are_left_out_and_named(tmp_path):
    FakeRun(weakness={"eat": 0.2}, eps=(0.1, 0.2)).write(tmp_path / "run")
    studies, notes = read_studies([tmp_path / "run"])
    assert [study.eps for study in studies] == [0.1]
    assert "linf 0.2 is left out" in notes[0]


def test_a_data_set_of_two_runs_is_refused(fake_ablation, tmp_path):
    for name in ("one", "two"):
        fake_ablation().write(tmp_path / name)
    with pytest.raises(UsageError, match=r"Both .*one' and .*two' show the data set glyphs"):
        read_studies([tmp_path / "one", tmp_path / "two"])


def test_data_sets_have_the_names_of_the_report(tmp_path):
    spec = "folder:/home/me/birds[size=32]"
    short = {spec: "birds[size=32]"}
    FakeRun(weakness={"eat": 0.2}, datasets=(spec, "glyphs"), short_names=short, seeds=(0,)).write(tmp_path)
    studies, _ = read_studies([tmp_path])
    assert [study.dataset for study in studies] == ["birds", "glyphs"]
    assert studies[0].refs[0].key.dataset == spec
