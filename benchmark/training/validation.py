"""Validation during training, on classes held out of the training classes."""

from __future__ import annotations

import torch

from attacks import ATTACKS, Problem
from benchmark.core.embedder import Embedder
from benchmark.data.base import ImageSet
from benchmark.metrics.retrieval import retrieve
from benchmark.models import frozen, in_float32
from benchmark.records import ValidationResult

ATTACK = "pgd_decay[objective=neighbour,steps=10]"
"""Strong enough to tell a robust epoch from one that is not, at the cost of a few training steps."""


class Validator:
    """Validates a model on the held-out classes, clean and under attack.

    Args:
        data: images of the held-out classes.
        eps: radius of the L_inf ball; 0 turns the attack off.
        device: where the model is.
    """

    def __init__(self, data: ImageSet, eps: float, device: torch.device | str) -> None:
        self._images = data.batch(slice(None), device)
        self._labels = data.labels.to(device)
        self._ids = data.ids
        self._eps = eps
        self._device = torch.device(device)

    def validate(self, model: Embedder, epoch: int) -> ValidationResult:
        """Computes mAP@R of clean and of attacked queries.

        The model and torch's global generators are left as they were.

        Args:
            model: the model, in any mode.
            epoch: number of the epoch just trained, from 1.
        """
        devices = [self._device] if self._device.type == "cuda" else []
        with torch.random.fork_rng(devices), frozen(model):
            model = in_float32(model, self._images[:1])
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
            query_embeddings, gallery_embeddings = (
                torch.cat([model(part) for part in images.split(256)]) for images in (queries, gallery)
            )
        labels, ids = self._labels, self._ids
        results = retrieve(query_embeddings, gallery_embeddings, labels, labels, ids, ids, ks=(1,))
        return results.means()["map_r"]
