"""Errors of a backbone or its weights are reported before anything is trained."""

import pytest
import timm
import torch

from benchmark.cli import main
from benchmark.core.errors import BenchmarkError
from benchmark.data import DATASETS
from benchmark.models import BACKBONES
from benchmark.models.timm_backbone import TimmBackbone


@pytest.fixture
def run_and_read(tiny, tmp_path, monkeypatch, capsys, without_figures):
    """Runs a tiny grid; returns the exit status, and the one line on stderr."""
    monkeypatch.setenv("DML_BENCHMARK_CACHE", str(tmp_path / "cache"))

    def run(*more):
        output = tmp_path / "out"
        status = main(["--config", str(tiny), "--output", str(output), "--no-progress", *more])
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1, lines
        assert not list(output.rglob("*.json"))
        return status, lines[0]

    return run


DRY = pytest.mark.parametrize("dry", [[], ["--dry-run"]], ids=["run", "dry"])


@DRY
def test_batch_norm_frozen_at_random(run_and_read, dry):
    status, line = run_and_read("--backbones", "test_resnet[freeze_bn=true]", *dry)
    assert status == 2 and "random weights" in line and "photographs" in line and "freeze_bn=false" in line


@DRY
def test_a_body_without_batch_norm_to_freeze(run_and_read, dry, tmp_path):
    file = tmp_path / "w.pth"
    torch.save(timm.create_model("test_convnext", num_classes=0).state_dict(), file)
    status, line = run_and_read("--backbones", f"test_convnext[freeze_bn=true,pretrained={file}]", *dry)
    assert status == 2 and "'test_convnext' has no batch norm to freeze" in line


@DRY
def test_a_file_that_does_not_fit(run_and_read, dry, tmp_path):
    state = timm.create_model("test_resnet", num_classes=0).state_dict()
    del state["layer1.0.bn1.bias"]
    file = tmp_path / "w.pth"
    torch.save(state, file)
    status, line = run_and_read("--backbones", "test_resnet", "--pretrained", str(file), *dry)
    assert status == 2 and f"{file} does not fit: it has no 'layer1.0.bn1.bias'" in line


@DRY
@pytest.mark.parametrize("value", ["none", "imagenet", "w.pth"])
def test_a_choice_of_weights_that_no_backbone_takes(run_and_read, dry, value):
    status, line = run_and_read("--pretrained", value, *dry)
    assert status == 2 and f"--pretrained {value} has no effect" in line and "(smallconv)" in line


def test_one_backbone_that_takes_weights_is_enough(run_and_read, tmp_path):
    status, line = run_and_read(
        "--backbones", "smallconv", "test_resnet", "--pretrained", str(tmp_path / "w.pth")
    )
    assert status == 2 and "w.pth does not exist" in line


def test_weights_of_the_library_are_tried_once_for_all_trainings(run_and_read, monkeypatch):
    asked = []

    def unreachable(self):
        asked.append(self.spec)
        raise BenchmarkError("The pretrained weights cannot be fetched.")

    monkeypatch.setattr(TimmBackbone, "library_body", unreachable)
    monkeypatch.setattr(DATASETS.get("glyphs"), "natural", True)
    more = ["--backbones", "test_resnet[dim=8]", "--defenses", "vanilla,pgd_at", "--seeds", "0", "1"]
    assert run_and_read(*more) == (1, "error: The pretrained weights cannot be fetched.")
    assert asked == ["test_resnet[dim=8]"]


def test_a_dry_run_does_without_the_network(tiny, tmp_path, monkeypatch, capsys):
    def fetch(self, natural):
        raise AssertionError

    monkeypatch.setenv("DML_BENCHMARK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(TimmBackbone, "fetch", fetch)
    monkeypatch.setattr(TimmBackbone, "library_body", fetch)
    asked = ["test_resnet[pretrained=imagenet]", "test_resnet[freeze_bn=true]"]
    monkeypatch.setattr(DATASETS.get("glyphs"), "natural", True)  # as photographs are
    assert main(["--config", str(tiny), "--dry-run", "--backbones", *asked]) == 0
    assert "to train" in capsys.readouterr().out


@pytest.mark.slow
def test_what_is_trained_already_needs_no_weights(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("DML_BENCHMARK_CACHE", str(tmp_path / "cache"))
    asked = []
    monkeypatch.setattr(BACKBONES.get("smallconv"), "fetch", lambda self, natural: asked.append(natural))
    arguments = ["--config", str(tiny), "--output", str(tmp_path / "out"), "--no-progress", "--workers", "1"]
    arguments += ["--attacks", "noise", "--scenarios", "clustering"]
    for _ in range(2):
        assert main(arguments) == 0
        assert asked == [False]
