"""A method of the literature that is not in the registry, written with the public contract alone."""

import math
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from benchmark.cli import main
from benchmark.evaluation.conformance import check_defense
from benchmark.plugins.load import load_plugin
from benchmark.plugins.registries import REGISTRIES
from defenses import DEFENSES, Batch

from ..users_plugin import forget

HERE = Path(__file__).parent
METHODS = ("robust_distillation",)


@pytest.fixture(autouse=True)
def registries(monkeypatch):
    """What a test registers is undone."""
    for registry in REGISTRIES.values():
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    forget()
    yield
    for method in METHODS:
        sys.modules.pop(f"plugin_{method}", None)
    forget()


def method(name, **parameters):
    (cls,) = load_plugin(HERE / f"{name}.py")
    return cls(**parameters)


class Attack:
    """Returns the images slightly brighter, and keeps what it was called with."""

    def __call__(self, objective, images, model, *, start="uniform"):
        self.objective, self.images, self.model = objective, images, model
        return self.brighter(images)

    @staticmethod
    def brighter(images):
        return (images * 0.9 + 0.05).detach()


@pytest.fixture
def attack():
    return Attack()


@pytest.fixture
def batch(images):
    index = torch.randperm(len(images), generator=torch.Generator().manual_seed(3))[:24]
    return Batch(images.images[index], images.labels[index], index)


@pytest.fixture
def build(make_member, images):
    """Builds a method's model in evaluation mode, where an image's embedding depends on no other."""

    def settled(model):
        for _ in range(20):
            model.train()(images.images)
        return model.eval()

    def run(defense, trained=None):
        arguments = (make_member, images.labels, *([trained] if trained else []))
        return settled(defense.build(*arguments))

    run.teacher = lambda: settled(make_member()).requires_grad_(False)
    return run


def distance(x, y):
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(x.tolist(), y.tolist(), strict=True)))


def test_none_is_in_the_registry():
    assert not set(METHODS) & set(DEFENSES.names())


@pytest.mark.parametrize("name", METHODS)
def test_each_is_a_short_file_on_public_modules(name):
    text = (HERE / f"{name}.py").read_text()
    assert len(text.splitlines()) < 100
    homes = {
        line.split()[1].split(".")[0] for line in text.splitlines() if line.startswith(("import", "from"))
    }
    assert homes <= {
        "__future__",
        "benchmark",
        "collections",
        "defenses",
        "math",
        "pydantic",
        "torch",
        "typing",
    }
    inner = {line.split()[1] for line in text.splitlines() if line.startswith("from benchmark")}
    assert inner <= {"benchmark.models", "benchmark.core.embedder"}


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_each_keeps_the_contract(name):
    check_defense(method(name))


@pytest.mark.slow
@pytest.mark.usefixtures("without_figures")
def test_each_trains_and_gives_a_row(tiny, tmp_path):
    plugins = [part for name in METHODS for part in ("--plugin", str(HERE / f"{name}.py"))]
    arguments = ["--defenses", *METHODS, "--datasets", "glyphs[classes=16,per_class=6]"]
    arguments += ["--scenarios", "retrieval-query", "--workers", "1"]
    output = tmp_path / "out"
    done = main([*plugins, *arguments, "--config", str(tiny), "--output", str(output), "--no-progress"])
    assert done == 0
    cells = pd.read_csv(output / "cells.csv")
    assert set(cells["status"]) == {"done"}
    board = pd.read_csv(output / "leaderboard.csv").set_index("defense")
    assert set(METHODS) <= set(board.index)
    assert board.loc[list(METHODS), "clean_r1"].between(0, 1).all()


def test_the_loss_by_loops(build, attack, batch):
    defense, teacher = method("robust_distillation", share=0.3), build.teacher()
    model = build(defense, {"pgd_at": teacher})
    value = defense.loss(model, batch, attack)
    targets = teacher(batch.images)
    (student,) = model.members
    moved = student(attack.brighter(batch.images)).detach()
    squares = [distance(x, y) ** 2 for x, y in zip(moved, targets, strict=True)]
    base = student.loss(student(batch.images), batch.labels).item()
    assert value.item() == pytest.approx(0.7 * base + 0.3 * sum(squares) / len(squares), rel=1e-5)
    assert attack.objective(attack.brighter(batch.images)).tolist() == pytest.approx(squares, abs=1e-5)
    assert int(model.get_buffer("steps")) == 1
    assert all(parameter.grad is None for parameter in teacher.parameters())
