"""SoftTriple."""

from __future__ import annotations

import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from pytorch_metric_learning.losses import SoftTripleLoss
from torch import Tensor, nn

from benchmark.losses.base import LOSSES, Criterion, Loss


def _relaxed(loss: nn.Module, embeddings: Tensor) -> Tensor:
    """Equation 6 for each class."""
    similarities: Tensor = loss.get_logits(F.normalize(embeddings))  # type: ignore[operator]
    return similarities


@LOSSES.register("soft_triple")
class SoftTriple(Loss):
    """SoftTriple (Qian et al. 2019, arXiv 1909.05235, eq. 8): softmax over classes of several centres each.

    A class's similarity is the mean of those to its centres, weighted towards the nearest (eq. 6). The
    paper's regulariser, which merges centres that lie close, is left out, as in pytorch-metric-learning.

    Attributes:
        centres: centres a class.
        scale: on the similarities, the paper's lambda.
        gamma: temperature of the weights over a class's centres.
        margin: taken off the own class's similarity, the paper's delta.
    """

    centres: PositiveInt = 10
    scale: PositiveFloat = 20.0
    gamma: PositiveFloat = 0.1
    margin: NonNegativeFloat = 0.01

    def build(self, num_classes: int, dim: int) -> Criterion:
        """A new criterion with fresh centres."""
        loss = SoftTripleLoss(
            num_classes,
            dim,
            centers_per_class=self.centres,
            la=self.scale,
            gamma=self.gamma,
            margin=self.margin,
        )
        return Criterion(loss, _relaxed)
