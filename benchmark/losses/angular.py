"""The angular loss."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from benchmark.losses.base import LOSSES, Criterion, Loss


@LOSSES.register("angular")
class Angular(Loss):
    """Angular loss (Wang et al. 2017, arXiv 1708.01682, eq. 8), a loss on the tuples of a batch.

    For each positive pair a, p, with the images n of all other classes as negatives:

        log(1 + sum_n exp(4 tan^2(alpha) (a + p) . n - 2 (1 + tan^2(alpha)) a . p))

    It bounds the angle at the negative in a triangle of a, p and n by alpha. Adapted as in
    pytorch-metric-learning: every pair of a class is one, in both orders, where the paper draws two images of
    each class; and it stands alone, where the paper also adds the N-pair loss to it.

    Attributes:
        alpha: upper bound of the angle, in degrees.
    """

    has_proxies: ClassVar[bool] = False

    alpha: float = Field(default=40.0, gt=0, lt=90)

    def build(self, num_classes: int, dim: int) -> Criterion:
        """Builds a criterion; it has no parameters."""
        from pytorch_metric_learning.losses import AngularLoss

        return Criterion(AngularLoss(alpha=self.alpha))
