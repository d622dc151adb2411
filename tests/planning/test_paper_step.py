"""One step of the field's protocol, on a few images in the official layout: both backbones, 224 pixels."""

import csv

import numpy as np
import pytest
from PIL import Image

from benchmark.cli import main
from benchmark.models import BACKBONES
from benchmark.planning.resolve import resolve

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_figures")]  # whole runs

CONFIG = """
preset: paper
attacks: ["pgd[objective=neighbour,steps=1]"]
checks: false
training: {epochs: 1, batch_size: 8, warm_up: 0, validation: 0, inner_steps: 1, ramp: 0, precision: float32}
"""


@pytest.fixture
def birds(tmp_path):
    """Two training and two test classes of CUB-200-2011, four images each."""
    folder = tmp_path / "data" / "CUB_200_2011"
    files = [f"{label:03d}.Bird/{label}_{i}.jpg" for label in (1, 2, 101, 102) for i in range(4)]
    random = np.random.default_rng(0)
    for name in files:
        file = folder / "images" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (260, 300, 3), dtype=np.uint8)).save(file)
    numbered = list(enumerate(files, start=1))
    (folder / "images.txt").write_text("\n".join(f"{number} {name}" for number, name in numbered))
    labels = "\n".join(f"{number} {int(name[:3])}" for number, name in numbered)
    (folder / "image_class_labels.txt").write_text(labels)
    return folder.parent


def run(tmp_path, birds, *more):
    config = tmp_path / "tiny.yaml"
    config.write_text(CONFIG)
    asked = ["--config", str(config), "--datasets", "cub200[partial=true]", "--eps", "8/255"]
    asked += ["--data-root", str(birds), "--output", str(tmp_path / "out"), "--no-progress", *more]
    return main(asked)


def unfrozen():
    """The preset's backbones, but for their frozen batch norm, which cannot learn from random weights."""
    for text in resolve({"preset": "paper"}).backbones:
        yield BACKBONES.build(text).model_copy(update={"freeze_bn": False}).spec


def test_trains_and_attacks_with_both_backbones(tmp_path, birds, monkeypatch):
    monkeypatch.setenv("DML_BENCHMARK_CACHE", str(tmp_path / "cache"))
    asked = ("--defenses", "pgd_at", "--backbones", *unfrozen(), "--pretrained", "none")
    assert run(tmp_path, birds, *asked) == 0
    with (tmp_path / "out" / "leaderboard.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["defense"] == "pgd_at"]
    assert len({row["backbone"] for row in rows}) == len(rows) == 2
    for row in rows:
        assert 0 <= float(row["worst_r1"]) <= float(row["clean_r1"]) <= 1
        assert float(row["train_cost"]) == pytest.approx(5 / 3)  # one step of attack: 2, and training: 3


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_the_presets_frozen_batch_norm_is_not_started_at_random(tmp_path, birds, monkeypatch, capsys, more):
    monkeypatch.setenv("DML_BENCHMARK_CACHE", str(tmp_path / "cache"))
    assert run(tmp_path, birds, "--defenses", "vanilla", "--pretrained", "none", *more) == 2
    written = capsys.readouterr()
    assert "random weights" in written.err and "freeze_bn=false" in written.err
    assert len(written.err.splitlines()) == 1 and not written.out
    assert not (tmp_path / "out").exists()


def test_missing_weights_are_reported_and_nothing_starts_at_random(tmp_path, birds, monkeypatch, capsys):
    monkeypatch.setenv("DML_BENCHMARK_CACHE", str(tmp_path / "cache"))
    absent = str(tmp_path / "absent.safetensors")
    assert run(tmp_path, birds, "--defenses", "vanilla", "--pretrained", absent) == 2
    assert "absent.safetensors" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
