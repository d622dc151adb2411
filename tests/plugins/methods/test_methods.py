"""Three methods of the literature, written with the public contract alone."""

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
from defenses import Batch
from defenses.triplets import mine

from ..users_plugin import forget

HERE = Path(__file__).parent
METHODS = ("ca_tride", "fare", "center_at")


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


@pytest.mark.parametrize("turn", [0, 1])
def test_ca_tride_perturbs_one_target_in_turn(turn, build, attack, batch):
    defense = method("ca_tride", base="none", strength=0.7)
    model = build(defense)
    model.get_buffer("steps_done").fill_(turn)
    torch.manual_seed(5)
    rows = mine(batch.labels, "random", defense.margin)
    torch.manual_seed(5)
    value = defense.loss(model, batch, attack)
    assert int(model.get_buffer("steps_done")) == turn + 1
    clean = model(batch.images).detach()
    moved = model(attack.brighter(batch.images)).detach()
    hinges, objective, collapse = [], [], []
    for a, p, n in zip(rows.anchor, rows.positive, rows.negative, strict=True):
        anchor, positive, negative = (
            (moved[a], clean[p], clean[n]) if turn == 0 else (clean[a], moved[p], moved[n])
        )
        hardness = distance(anchor, positive) - distance(anchor, negative)
        hinges.append(max(0.0, hardness + 0.2))
        objective.append((hardness, distance(positive, negative)))
        collapse.append(max(0.0, 1 - distance(clean[p], clean[n]) / math.sqrt(2)))
    assert value.item() == pytest.approx(sum(hinges) / len(hinges), abs=1e-5)
    c = sum(collapse) / len(collapse)
    assert 0 < c < 1
    wanted = [h if turn == 0 else (1 - c) * h + 0.7 * c * d for h, d in objective]
    found = attack.objective(attack.brighter(attack.images)).tolist()
    assert found == pytest.approx(wanted, abs=1e-5)


def test_fare_is_the_squared_distance_from_the_teacher(build, attack, batch):
    defense, teacher = method("fare"), build.teacher()
    before = {key: value.clone() for key, value in teacher.state_dict().items()}
    model = build(defense, {"vanilla": teacher})
    targets = teacher(batch.images)
    moved = model(attack.brighter(batch.images)).detach()
    squares = [distance(x, y) ** 2 for x, y in zip(moved, targets, strict=True)]
    assert sum(squares) > 0.001
    assert defense.loss(model, batch, attack).item() == pytest.approx(sum(squares) / len(squares), abs=1e-5)
    assert attack.objective(attack.brighter(batch.images)).tolist() == pytest.approx(squares, abs=1e-5)
    defense.loss(model.train(), batch, attack).backward()
    assert all(torch.equal(value, before[key]) for key, value in teacher.state_dict().items())
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_fare_starts_at_the_teacher_and_embeds_with_the_student(build, batch):
    teacher = build.teacher()
    model = method("fare").build(
        lambda: build.teacher().requires_grad_(True), batch.labels, {"vanilla": teacher}
    )
    assert torch.equal(model.eval()(batch.images), teacher(batch.images))
    assert all(parameter.requires_grad for parameter in model.student.parameters())


def test_center_at_pulls_to_the_center_codes(build, attack, batch):
    defense = method("center_at", weight=2.0, temperature=0.3, momentum=0.8)
    model = build(defense)
    second = Batch(batch.images.flip(0)[:9], batch.labels.flip(0)[:9], batch.index.flip(0)[:9])
    centers = [[0.0] * 8 for _ in range(12)]
    for one in (batch, second):
        value = defense.loss(model, one, attack)
        clean, moved = model(one.images).tolist(), model(attack.brighter(one.images)).tolist()
        for k in set(one.labels.tolist()):
            own = [z for z, y in zip(clean, one.labels.tolist(), strict=True) if y == k]
            mean = [sum(column) / len(own) for column in zip(*own, strict=True)]
            keep = 0.8 if any(centers[k]) else 0.0
            centers[k] = [keep * c + (1 - keep) * m for c, m in zip(centers[k], mean, strict=True)]
        middle = [sum(column) / 12 for column in zip(*centers, strict=True)]
        codes = [[c - m for c, m in zip(center, middle, strict=True)] for center in centers]
        codes = [[x / math.sqrt(sum(x * x for x in code)) for x in code] for code in codes]

        def entropy(z, y, codes=codes):
            logits = [sum(a * b for a, b in zip(z, code, strict=True)) / 0.3 for code in codes]
            return math.log(sum(map(math.exp, logits))) - logits[y]

        labels = one.labels.tolist()
        terms = [entropy(z, y) for part in (clean, moved) for z, y in zip(part, labels, strict=True)]
        base = model.loss(model(one.images), one.labels).item()
        assert value.item() == pytest.approx(base + 2.0 * sum(terms) / len(labels), rel=1e-4)
        away = [
            -sum(a * b for a, b in zip(z, codes[y], strict=True)) for z, y in zip(moved, labels, strict=True)
        ]
        assert attack.objective(attack.brighter(one.images)).tolist() == pytest.approx(away, abs=1e-5)
