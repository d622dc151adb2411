from math import isnan, sqrt

import numpy as np
import pandas as pd
import pytest
import torch
from fake_run import PASSES, FakeRun
from matplotlib import image
from safetensors.torch import save_model

from benchmark.core.errors import UsageError
from benchmark.data import DATASETS, Folders
from benchmark.jobs.train_job import build_model, training_images
from benchmark.records.store import Store
from benchmark.report.cell_results import Run
from benchmark.report.tables import collect
from benchmark.studies import eat
from benchmark.studies.ablation import COLUMNS, figures_of, read_studies, short_name
from benchmark.studies.eat_table import paired_difference, write_table
from benchmark.training import Recipe


def at(cache):
    return Folders(cache, cache / "data")


WEAKNESS = {"eat": 0.2, "eat[members=2]": 0.3, "ensemble_at": 0.25, "pgd_at": 0.4, "pixels": 0.9}
EMPTY = pd.DataFrame(columns=eat.DIVERSITY_COLUMNS)


def fake(**changed):
    return FakeRun(weakness=dict(WEAKNESS), compute=(PASSES,), seeds=(0, 1, 2), **changed)


@pytest.fixture
def studied(tmp_path):
    fake().write(tmp_path / "run")
    studies, notes = read_studies([tmp_path / "run"])
    return studies, notes, pd.DataFrame(figures_of(studies[0]), columns=COLUMNS)


def test_figures_are_those_of_the_board(studied, tmp_path):
    _, _, models = studied
    assert models["defense"].unique().tolist() == [name for name in WEAKNESS if name != "pixels"]
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
    assert models["validation"][0] == max(look.score for look in record.validations)


def test_differences_are_paired_by_seed():
    rows = [("eat", 0, 0.5), ("eat", 1, 0.9), ("eat", 2, 0.1), ("eat", 3, 0.7)]
    rows += [("ensemble_at", 1, 0.8), ("ensemble_at", 0, 0.3), ("ensemble_at", 2, 0.1)]
    models = pd.DataFrame(rows, columns=["defense", "seed", "worst_ami"])
    difference, error = paired_difference(models, "eat", "worst_ami")
    assert difference == pytest.approx(0.1)
    assert error == pytest.approx(np.std([0.2, 0.1, 0.0], ddof=1) / sqrt(3))
    assert all(map(isnan, paired_difference(models, "pgd_at", "worst_ami")))
    one = paired_difference(models[models["seed"] == 1], "eat", "worst_ami")
    assert one[0] == pytest.approx(0.1)
    assert isnan(one[1])


def test_the_table_has_a_line_for_each_row(studied):
    studies, _, models = studied
    table = write_table(studies, models, EMPTY)
    lines = [line for line in table.splitlines() if line.startswith("| `")]
    assert [line.split("`")[1] for line in lines] == [name for name in WEAKNESS if name != "pixels"]
    ami = models.loc[models["defense"] == "pgd_at", "worst_ami"]
    assert f"{100 * ami.mean():.1f} ± {100 * ami.std():.1f}" in lines[-1]
    difference, error = paired_difference(models, "pgd_at", "worst_ami")
    assert f"| {100 * difference:+.1f} ± {100 * error:.1f} |" in lines[-1]
    assert len({line.count("|") for line in table.splitlines() if line.startswith("|")}) == 1


def test_what_is_missing_is_said_in_a_line_and_the_rest_goes_on(tmp_path, capsys):
    missing = {("pgd_at", attack) for attack in fake().attacks}
    fake(missing=missing, failed_trainings={"eat": "the loss is not a number"}).write(tmp_path / "run")
    assert eat.main([str(tmp_path / "run"), "--to", str(tmp_path / "to")]) == 0
    shown = capsys.readouterr()
    # Weights were never written, so no model is done.
    assert shown.err.count("\n") == 1
    assert "12 of 12 models are not done" in shown.err
    models = pd.read_csv(tmp_path / "to" / "ablation.csv")
    assert set(models["defense"]) == {"eat[members=2]", "ensemble_at", "pgd_at"}
    assert models.loc[models["defense"] == "pgd_at", "worst_ami"].isna().all()
    assert pd.read_csv(tmp_path / "to" / "diversity.csv").columns.tolist() == eat.DIVERSITY_COLUMNS


def test_every_file_of_two_runs(tmp_path, monkeypatch, capsys):
    fake().write(tmp_path / "one")
    two = FakeRun(
        weakness={"eat[members=2]": 0.2, "ensemble_at[members=2]": 0.2, "pgd_at": 0.4, "pixels": 0.9},
        datasets=("digits",),
        seeds=(0,),
    )
    manifest = two.write(tmp_path / "two")
    store = Store(tmp_path / "two")
    data = DATASETS.build("digits").load(at(tmp_path))
    for ref in manifest.models:
        if ref.key.defense != "pixels":
            model, _ = build_model(ref.key, training_images(Recipe(), data)[0])
            save_model(model, str(store.checkpoint(ref.id)))
    monkeypatch.setattr(eat, "first_classes", lambda pool: torch.arange(20))
    to = tmp_path / "to"
    assert eat.main([str(tmp_path / "one"), str(tmp_path / "two"), "--to", str(to)]) == 0
    shown = capsys.readouterr()
    assert "glyphs: 12 of 12" in shown.err
    assert "digits" not in shown.err
    assert shown.out == (to / "table.md").read_text(encoding="utf-8")
    assert shown.out.index("### glyphs") < shown.out.index("### digits")
    diversity, matrix = (pd.read_csv(to / name) for name in ("diversity.csv", "transfer_matrix.csv"))
    assert diversity["members"].tolist() == [2, 2, 1]
    assert diversity["gradient_cosine"].isna().tolist() == [False, False, True]
    assert matrix.columns.tolist() == eat.MATRIX_COLUMNS
    assert matrix.groupby("defense").size().to_dict() == {
        "eat[members=2]": 4,
        "ensemble_at[members=2]": 4,
        "pgd_at": 1,
    }
    own = matrix[(matrix["defense"] == "eat[members=2]") & (matrix["made_on"] == matrix["tested_on"])]
    assert own["r1"].mean() == pytest.approx(diversity["own_r1"][0], abs=1e-5)
    assert min(image.imread(to / "eat_ablation.png").shape[:2]) > 250


def test_tables_beside_the_first_of_a_data_set_are_left_out_and_named(tmp_path):
    FakeRun(weakness=dict(WEAKNESS), eps=(0.1, 0.2)).write(tmp_path / "run")
    studies, notes = read_studies([tmp_path / "run"])
    assert [study.eps for study in studies] == [0.1]
    assert "linf 0.2 is left out" in notes[0]


def test_a_data_set_twice_is_refused(tmp_path):
    for name in ("one", "two"):
        fake().write(tmp_path / name)
    with pytest.raises(UsageError, match=r"Both .*one' and .*two' show the data set glyphs"):
        read_studies([tmp_path / "one", tmp_path / "two"])


def test_a_folder_without_a_run_is_refused_in_a_line(tmp_path, capsys):
    assert eat.main([str(tmp_path / "none"), "--to", str(tmp_path / "to")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize(
    ("dataset", "name"),
    [
        ("glyphs", "glyphs"),
        ("glyphs[validation=true]", "glyphs"),
        ("folder:/some/where/omniglot-small[grey=true,linf=0.1]", "omniglot-small"),
        ("folder[path=some/where/omniglot-small]", "omniglot-small"),
    ],
)
def test_names_of_data_sets_say_nothing_of_where_they_are(dataset, name):
    assert short_name(dataset) == name
