"""Retrieval is scored where the model is, and gives there what it gives on the CPU."""

import importlib.util
from pathlib import Path

import pytest
import torch

from attacks import ATTACKS
from benchmark.core.embedder import Embedder
from benchmark.evaluation import SCENARIOS, PoolEmbeddings
from benchmark.evaluation import retrieval as module

_path = Path(__file__).parents[1] / "attacks" / "other_device.py"
_spec = importlib.util.spec_from_file_location("other_device", _path)
other = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(other)


class Pixels(Embedder):
    def forward(self, images):
        return images.flatten(1)


@pytest.mark.parametrize("separate", [False, True])
def test_retrieval_is_scored_on_the_device(make_images, monkeypatch, separate):
    pool = make_images(classes=14, per_class=5, noise=0.5, seed=2)
    attacked = (pool.images + 0.6 * torch.randn(pool.images.shape)).clamp(0, 1)
    queries = torch.arange(len(pool)) % 3 == 0 if separate else None
    places = []

    def retrieve(asking, stored, *arguments, **options):
        places.append((asking.device, stored.device))
        return real(asking, stored, *arguments, **options)

    real = module.retrieve
    monkeypatch.setattr(module, "retrieve", retrieve)

    def score(device):
        views = PoolEmbeddings(
            Pixels(), pool.images, attacked, pool.labels, pool.ids, 1,
            attack=ATTACKS.build("noise"), queries=queries, device=device,
        )  # fmt: skip
        found = SCENARIOS.build("retrieval-query").score(views)
        return found.metrics, found.diagnostics, found.arrays["success"].tolist()

    here = score("cpu")
    with other.TwoDevices():
        there = score(other.OTHER)
    assert here == there
    assert 0 < here[0]["r1"] < 1
    assert places == [(torch.device("cpu"),) * 2] * 2 + [(other.OTHER,) * 2] * 2
