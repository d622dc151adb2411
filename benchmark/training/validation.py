"""Looking at a model, while it trains, on classes held out of the training classes."""

from __future__ import annotations

import torch

from attacks import ATTACKS, Problem
from benchmark.core.embedder import Embedder
from benchmark.data.base import ImageSet
from benchmark.metrics.retrieval import retrieve
from benchmark.models import frozen
from benchmark.records import ValidationResult

ATTACK = "pgd_decay[objective=neighbour,steps=10]"
"""Strong enough to tell a robust epoch from one that is not, at the price of a few training steps."""


class Validator:
    """The validation images and the attack on them.

    Args:
        data: images of the classes held out.
        eps: radius of the L_inf ball; no attack when 0.
        device: where the model is.
    """

    def __init__(self, data: ImageSet, eps: float, device: torch.device | str) -> None:
        self._images = data.batch(slice(None), device)
        self._labels = data.labels.to(device)
        self._ids = data.ids
        self._eps = eps
        self._device = torch.device(device)

    def validate(self, model: Embedder, epoch: int) -> ValidationResult:
        """Scores a model as it stands; neither it nor the training's random numbers are changed."""
        devices = [self._device] if self._device.type == "cuda" else []
        with torch.random.fork_rng(devices), frozen(model):
            torch.manual_seed(0)
            clean = self._map_r(model, self._images, self._images)
            if not self._eps:
                return ValidationResult(epoch=epoch, clean_map_r=clean, attacked_map_r=clean)
            problem = Problem(model, self._images, self._labels, self._ids, "linf", self._eps)
            attacked = ATTACKS.build(ATTACK).run(problem).images
            attacked_map_r = self._map_r(model, attacked, self._images)
            return ValidationResult(epoch=epoch, clean_map_r=clean, attacked_map_r=attacked_map_r)

    def _map_r(self, model: Embedder, queries: torch.Tensor, gallery: torch.Tensor) -> float:
        with torch.no_grad():
            asked, stored = (
                torch.cat([model(part) for part in images.split(256)]) for images in (queries, gallery)
            )
        outcomes = retrieve(asked, stored, self._labels, self._labels, self._ids, self._ids, ks=(1,))
        return outcomes.means()["map_r"]
