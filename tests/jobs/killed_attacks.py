"""Attacks that are killed after one of their saves."""

import random
import shutil
import uuid
from collections import namedtuple

import pytest
import torch
import torch.nn.functional as F

from benchmark.core.embedder import Embedder
from benchmark.jobs.attack_save_point import AttackSavePoint

BATCH = 12


class KilledError(Exception):
    """Ends an attack in these tests; tests/runner kills a real process."""


class KilledAfter(AttackSavePoint):
    """Counts saves, and raises after one of them.

    Where `kept` is a folder, what is on disk after each save, as a kill leaves it, is copied to it.
    """

    saves, last, kept = 0, None, None

    def save(self, state, images):
        super().save(state, images)
        self.saves += 1
        if self.kept:
            copy = (
                self.kept / self._file.path.stem / str(self.saves) / "unfinished"
            )  # a state is of a file's name and folder
            copy.mkdir(parents=True)
            shutil.copy(self._file.path, copy)
        if self.saves == self.last:
            raise KilledError


class Network(Embedder):
    """Two layers in channels-last format, whose sums depend on the order of additions."""

    def __init__(self, noise=0.0):
        super().__init__()
        draws = torch.Generator().manual_seed(0)
        self.kernels = torch.nn.Parameter(
            torch.randn(6, 3, 3, 3, generator=draws).to(memory_format=torch.channels_last)
        )
        self.last = torch.nn.Parameter(torch.randn(6, 5, generator=draws))
        self.noise, self.randomised, self.calls = noise, noise > 0, 0

    def forward(self, images):
        self.calls += 1
        if self.noise:
            images = images + self.noise * (torch.randn_like(images) + random.random())
        return F.normalize(F.conv2d(images - 0.5, self.kernels).relu().mean((2, 3)) @ self.last)


class Stored:
    """A pool that is not in memory."""

    def __init__(self, images):
        self._images, self.image_shape = images, tuple(images.shape[1:])

    def __len__(self):
        return len(self._images)

    def batch(self, indices, device):
        return self._images[indices].to(device)


IMAGES = torch.rand(20, 3, 8, 8, generator=torch.Generator().manual_seed(1))
IDS = torch.arange(20) * 7 % 20
Run = namedtuple("Run", "result units calls saves seconds")


def assert_same(found, expected):
    assert torch.equal(found.result.images, expected.result.images)
    assert found.result.images.stride() == expected.result.images.stride()
    assert (found.result.objective is None) == (expected.result.objective is None)
    if expected.result.objective is not None:
        assert torch.equal(found.result.objective, expected.result.objective)
    assert found.result.zero_gradient == expected.result.zero_gradient
    assert found.result.execution == expected.result.execution
    assert found.units == pytest.approx(expected.units, rel=1e-12)


def check_kills(go, spec, **options):
    """Resumes an attack from some of its saves, the first and the last among them."""
    expected = go(spec, **options)
    name = uuid.uuid4().hex  # a test may do this with several attacks
    saves = go(spec, path=f"{name}.safetensors", keep=True, **options).saves
    assert saves >= 2
    for last in sorted({1, 2, saves // 3, 2 * saves // 3, saves - 1, saves} - {0}):
        resumed = go(spec, path=f"../{name}/{last}/unfinished/{name}.safetensors", **options)
        assert resumed.saves == saves - last
        assert_same(resumed, expected)
    return expected, resumed
