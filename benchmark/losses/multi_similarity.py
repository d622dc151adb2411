"""The Multi-Similarity loss."""

from __future__ import annotations

from typing import ClassVar

from pydantic import PositiveFloat

from benchmark.losses.base import LOSSES, Criterion, Loss


@LOSSES.register("multi_similarity")
class MultiSimilarity(Loss):
    """Multi-Similarity (Wang et al. 2019, arXiv 1904.06627, eq. 15), a loss on the pairs of a batch.

    Attributes:
        alpha: scale of the positive pairs.
        beta: scale of the negative pairs.
        base: similarity that is subtracted from those of all pairs.
    """

    has_proxies: ClassVar[bool] = False

    alpha: PositiveFloat = 2.0
    beta: PositiveFloat = 50.0
    base: float = 0.5

    def build(self, num_classes: int, dim: int) -> Criterion:
        """Builds a criterion; it has no parameters."""
        from pytorch_metric_learning.losses import MultiSimilarityLoss

        return Criterion(MultiSimilarityLoss(alpha=self.alpha, beta=self.beta, base=self.base))
