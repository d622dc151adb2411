"""The Proxy Anchor loss."""

from __future__ import annotations

from pydantic import PositiveFloat

from benchmark.losses.base import LOSSES, Criterion, Loss, cosines_to_rows


@LOSSES.register("proxy_anchor")
class ProxyAnchor(Loss):
    """Proxy Anchor (Kim et al. 2020, arXiv 2003.13911, eq. 4) with one proxy per class.

    Attributes:
        alpha: scale of the similarities.
        delta: margin on the similarities.
    """

    alpha: PositiveFloat = 32.0
    delta: float = 0.1

    def build(self, num_classes: int, dim: int) -> Criterion:
        """Builds a criterion with randomly initialized proxies, one for each class."""
        from pytorch_metric_learning.losses import ProxyAnchorLoss

        loss = ProxyAnchorLoss(num_classes, dim, margin=self.delta, alpha=self.alpha)
        return Criterion(loss, cosines_to_rows)
