import gc
import os
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import settings

from benchmark.data import ImageSet
from benchmark.losses import LOSSES
from benchmark.models import BACKBONES, Member
from benchmark.report.figures import FigurePicture

# Beside other tests, more threads than cores would wait for each other, in what tests start and here.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)

# Seven thousand tests are many objects that stay; to look for garbage among them takes long.
gc.set_threshold(100_000)

# A deadline for each example would fail tests on a machine that is busy.
settings.register_profile("default without deadline", deadline=None)
settings.load_profile("default without deadline")

SHAPE = (1, 8, 8)

TINY = {
    "datasets": ["glyphs[classes=16,per_class=6]"],
    "defenses": ["vanilla"],
    "attacks": ["fgsm[objective=own]", "noise"],
    "seeds": [0],
    "training": {"epochs": 1, "batch_size": 64},
    "evaluation": {"eot": 2, "repeats": 2},
    "curve": {"attacks": [], "factors": []},
    "checks": False,
}
"""A whole tiny benchmark: a grid that takes seconds."""


def pytest_collection_modifyitems(config, items):
    """Lets each of several workers begin with another of the files that take longest.

    Each gets an equal part of the list, in its order; one that is done takes from the end of another's.
    """
    longest, others = {}, []
    for item in items:
        marked = item.get_closest_marker("first") is not None
        (longest.setdefault(item.path, []) if marked else others).append(item)
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    beginnings = [[] for _ in range(workers)]
    for number, file in enumerate(longest.values()):
        beginnings[number % workers] += file
    left, dealt = len(items), []
    for number, beginning in enumerate(beginnings):
        size = left // (workers - number)
        left -= size
        dealt += beginning + [others.pop(0) for _ in range(min(size - len(beginning), len(others)))]
    items[:] = dealt + others


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture
def without_figures(monkeypatch):
    """Lets reports draw no figures, which would take most of the time of a test of something else."""
    monkeypatch.setattr(FigurePicture, "draw", lambda picture, source: "")


@pytest.fixture(scope="session")
def make_images():
    """Images of separable classes: a prototype for each class, and noise around it."""

    def make(classes=12, per_class=8, shape=SHAPE, noise=0.15, seed=0):
        generator = torch.Generator().manual_seed(seed)
        prototypes = torch.rand(classes, *shape, generator=generator)
        labels = torch.arange(classes).repeat_interleave(per_class)
        spread = noise * torch.randn(len(labels), *shape, generator=generator)
        return ImageSet((prototypes[labels] + spread).clamp(0, 1), labels, torch.arange(len(labels)) + 1000)

    return make


@pytest.fixture(scope="session")
def images(make_images):
    return make_images()


@pytest.fixture(scope="session")
def make_member():
    def make(loss="proxy_anchor", shape=SHAPE, classes=12, backbone="smallconv[dim=8,width=0.25]"):
        architecture = BACKBONES.build(backbone)
        embedder = architecture.build(shape)
        return Member(embedder, LOSSES.build(loss).build(classes, architecture.dim), architecture.dim)

    return make


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A configuration file for `--config`; its data set is small and its training one epoch."""
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY))
    return path
