"""The normalized softmax loss."""

from __future__ import annotations

from typing import cast

import torch.nn.functional as F
from pydantic import PositiveFloat
from torch import Tensor, nn

from benchmark.losses.base import LOSSES, Criterion, Loss, cosines_to_columns


def normalized_softmax(loss: nn.Module, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Computes the cross-entropy, a scalar, of the cosines over the temperature."""
    return F.cross_entropy(cosines_to_columns(loss, embeddings) / cast("float", loss.temperature), labels)


@LOSSES.register("normalized_softmax")
class NormalizedSoftmax(Loss):
    """Cross-entropy over cosine similarities to a weight vector per class (Zhai & Wu 2019, arXiv 1811.12649).

    Attributes:
        temperature: divisor of the similarities.
    """

    temperature: PositiveFloat = 0.05

    def build(self, num_classes: int, dim: int) -> Criterion:
        """Builds a criterion with randomly initialized weight vectors, one for each class."""
        from pytorch_metric_learning.losses import NormalizedSoftmaxLoss

        loss = NormalizedSoftmaxLoss(num_classes, dim, temperature=self.temperature)
        return Criterion(loss, cosines_to_columns, value=normalized_softmax)
