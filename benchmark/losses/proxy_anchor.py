"""The Proxy Anchor loss."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat
from torch import Tensor, nn

from benchmark.losses.base import LOSSES, Criterion, Loss, cosines_to_rows


def proxy_anchor(loss: nn.Module, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Computes eq. 4, a scalar, without looking at a value on the device.

    Args:
        loss: has `proxies`, shape (classes, d), `alpha` and `margin`.
        embeddings: shape (n, d).
        labels: shape (n,).
    """
    cosines = cosines_to_rows(loss, embeddings)
    own = labels.unsqueeze(1) == torch.arange(cosines.shape[1], device=cosines.device)
    alpha, margin = cast("float", loss.alpha), cast("float", loss.margin)
    pull = (alpha * (margin - cosines)).masked_fill(~own, -torch.inf).logsumexp(0)
    push = (alpha * (margin + cosines)).masked_fill(own, -torch.inf).logsumexp(0)
    # log(1 + sum of exp) is the softplus of the logsumexp; both are 0 for a class without a term.
    return F.softplus(pull).sum() / own.any(0).sum() + F.softplus(push).mean()


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
        return Criterion(loss, cosines_to_rows, value=proxy_anchor)
