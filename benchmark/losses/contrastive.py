"""The contrastive loss."""

from __future__ import annotations

from typing import ClassVar

from pydantic import NonNegativeFloat, PositiveFloat

from benchmark.losses.base import LOSSES, Criterion, Loss


@LOSSES.register("contrastive")
class Contrastive(Loss):
    """Contrastive loss on the pairs of a batch (Hadsell et al. 2006), on distances rather than their squares.

    The Euclidean distance of unit vectors is in [0, 2]. Positive and negative pairs are averaged
    separately, each over the pairs with a loss above zero.

    Attributes:
        positive: distance down to which positive pairs are pulled together.
        negative: distance up to which negative pairs are pushed apart.
    """

    has_proxies: ClassVar[bool] = False

    positive: NonNegativeFloat = 0.0
    negative: PositiveFloat = 0.5

    def build(self, num_classes: int, dim: int) -> Criterion:
        """Builds a criterion; it has no parameters."""
        from pytorch_metric_learning.losses import ContrastiveLoss

        return Criterion(ContrastiveLoss(pos_margin=self.positive, neg_margin=self.negative))
