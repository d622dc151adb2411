import pandas as pd
import pytest
import torch
from matplotlib import image

from benchmark.data import DATASETS, Folders
from benchmark.jobs.models import build_model, training_images
from benchmark.models import save_checkpoint
from benchmark.records import Store
from benchmark.studies import eat
from benchmark.studies.diversity import DIVERSITY_COLUMNS, MATRIX_COLUMNS
from benchmark.training import Recipe

from ..report.fake_run import FakeRun


def test_missing_models_are_named_in_a_line_and_the_rest_is_written(fake_ablation, tmp_path, capsys):
    missing = {("pgd_at", attack) for attack in fake_ablation().attacks}
    fake_ablation(missing=missing, failed_trainings={"eat": "the loss is not a number"}).write(
        tmp_path / "run"
    )
    assert eat.main([str(tmp_path / "run"), "--to", str(tmp_path / "to")]) == 0
    shown = capsys.readouterr()
    # Weights were never written, so no model is done.
    assert shown.err.count("\n") == 1
    assert "12 of 12 models have no worst case yet, or no checkpoint here" in shown.err
    models = pd.read_csv(tmp_path / "to" / "ablation.csv")
    assert set(models["defense"]) == {"eat[members=2]", "ensemble_at", "pgd_at"}
    assert models.loc[models["defense"] == "pgd_at", "worst_ami"].isna().all()
    assert pd.read_csv(tmp_path / "to" / "diversity.csv").columns.tolist() == DIVERSITY_COLUMNS


@pytest.mark.slow
def test_every_file_of_two_runs(fake_ablation, tmp_path, monkeypatch, capsys):
    fake_ablation().write(tmp_path / "one")
    two = FakeRun(
        weakness={"eat[members=2]": 0.2, "ensemble_at[members=2]": 0.2, "pgd_at": 0.4, "pixels": 0.9},
        datasets=("digits",),
        seeds=(0,),
    )
    manifest = two.write(tmp_path / "two")
    store = Store(tmp_path / "two")
    data = DATASETS.build("digits").load(Folders(tmp_path, tmp_path / "data"))
    for ref in manifest.models:
        if ref.key.defense != "pixels":
            model, _ = build_model(ref.key, training_images(Recipe(), data)[0])
            save_checkpoint(model, store.checkpoint(ref.id), ref.key.model_dump())
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
    assert matrix.columns.tolist() == MATRIX_COLUMNS
    assert matrix.groupby("defense").size().to_dict() == {
        "eat[members=2]": 4,
        "ensemble_at[members=2]": 4,
        "pgd_at": 1,
    }
    own = matrix[(matrix["defense"] == "eat[members=2]") & (matrix["made_on"] == matrix["tested_on"])]
    assert own["r1"].mean() == pytest.approx(diversity["own_r1"][0], abs=1e-5)
    for name in ("eat_ablation", "transfer_matrix"):
        assert min(image.imread(to / f"{name}.png").shape[:2]) > 250
        assert (to / f"{name}.svg").stat().st_size < 1_000_000


def test_a_folder_without_a_run_is_refused_in_a_line(tmp_path, capsys):
    assert eat.main([str(tmp_path / "none"), "--to", str(tmp_path / "to")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "to").exists()
