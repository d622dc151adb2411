"""Normalised softmax."""

from __future__ import annotations

from pydantic import PositiveFloat
from pytorch_metric_learning.losses import NormalizedSoftmaxLoss

from benchmark.losses.base import LOSSES, Criterion, Loss, to_columns


@LOSSES.register("normalized_softmax")
class NormalizedSoftmax(Loss):
    """Cross-entropy over cosine similarities to one weight vector a class (Zhai & Wu 2019, arXiv 1811.12649).

    Attributes:
        temperature: divides the similarities.
    """

    temperature: PositiveFloat = 0.05

    def build(self, num_classes: int, dim: int) -> Criterion:
        """A new criterion with fresh weight vectors."""
        loss = NormalizedSoftmaxLoss(num_classes, dim, temperature=self.temperature)
        return Criterion(loss, to_columns)
