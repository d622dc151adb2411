"""Retrieval is scored on the model's device, with the same scores as on the CPU."""

import pytest
import torch
import torch.nn.functional as F

from attacks import ATTACKS
from benchmark.core.embedder import Embedder
from benchmark.evaluation import SCENARIOS, PoolEmbeddings
from benchmark.evaluation import retrieval as module

from ...simulated_device import OTHER, TwoDevices


class Pixels(Embedder):
    def forward(self, images):
        return F.normalize(images.flatten(1))


@pytest.mark.parametrize("split", [False, True])
def test_retrieval_is_scored_on_the_device(make_images, monkeypatch, split):
    pool = make_images(classes=14, per_class=5, noise=0.5, seed=2)
    attacked = (pool.images + 0.6 * torch.randn(pool.images.shape)).clamp(0, 1)
    mask = torch.arange(len(pool)) % 3 == 0 if split else None
    devices = []

    def retrieve(queries, gallery, *arguments, **options):
        devices.append((queries.device, gallery.device))
        return real(queries, gallery, *arguments, **options)

    real = module.retrieve
    monkeypatch.setattr(module, "retrieve", retrieve)

    def score(device):
        embeddings = PoolEmbeddings(
            Pixels(), pool.images, attacked, pool.labels, pool.ids, 1,
            attack=ATTACKS.build("noise"), queries=mask, device=device,
        )  # fmt: skip
        found = SCENARIOS.build("retrieval-query").score(embeddings)
        return found.metrics, found.diagnostics, found.arrays["success"].tolist()

    on_cpu = score("cpu")
    with TwoDevices():
        on_other = score(OTHER)
    assert on_cpu == on_other
    assert 0 < on_cpu[0]["r1"] < 1
    assert devices == [(torch.device("cpu"),) * 2] * 2 + [(OTHER,) * 2] * 2
