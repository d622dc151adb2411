"""The Proxy Anchor loss."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from benchmark.losses.base import LOSSES, Criterion, Loss, cosines_to_rows

_LARGEST = 70.0
"""Exponent up to which sums of exponentials stay far from the largest float32 number."""


class _Proxies(nn.Module):
    """The loss with its proxies, which start as those of pytorch-metric-learning do.

    That library's own loss looks at values on the device several times in each call, and takes half a second
    to import.

    Args:
        num_classes: number of training classes.
        dim: dimension d of the embeddings.
        alpha, margin: as in the equation.

    Attributes:
        proxies: shape (classes, d).
    """

    def __init__(self, num_classes: int, dim: int, alpha: float, margin: float) -> None:
        super().__init__()
        self.proxies = nn.Parameter(torch.empty(num_classes, dim))
        nn.init.kaiming_normal_(self.proxies, mode="fan_out")
        self.alpha = alpha
        self.margin = margin

    def forward(self, embeddings: Tensor, labels: Tensor, mined: object = None) -> Tensor:
        """Computes eq. 4, a scalar, of embeddings, shape (n, d), and labels, shape (n,).

        Looks at no value on the device. There is nothing to mine: every proxy counts.
        """
        alpha, margin = self.alpha, self.margin
        if alpha * (1 + abs(margin)) <= _LARGEST:
            value: Tensor = _ProxyAnchor.apply(embeddings, self.proxies, labels, alpha, margin)
            return value
        cosines = cosines_to_rows(self, embeddings)
        own = _own(labels, cosines)
        pull = (alpha * (margin - cosines)).masked_fill(~own, -torch.inf).logsumexp(0)
        push = (alpha * (margin + cosines)).masked_fill(own, -torch.inf).logsumexp(0)
        # log(1 + sum of exp) is the softplus of the logsumexp; both are 0 for a class without a term.
        return F.softplus(pull).sum() / own.any(0).sum() + F.softplus(push).mean()


def _own(labels: Tensor, cosines: Tensor) -> Tensor:
    """Marks the class of each row, bool, shape (n, classes)."""
    return labels.unsqueeze(1) == torch.arange(cosines.shape[1], device=cosines.device)


class _ProxyAnchor(torch.autograd.Function):
    """Eq. 4 with its gradient in closed form: half the time of the graph of its operations."""

    @staticmethod
    def forward(
        ctx: Any, embeddings: Tensor, proxies: Tensor, labels: Tensor, alpha: float, margin: float
    ) -> Tensor:
        lengths = embeddings.norm(dim=1, keepdim=True).clamp_min_(1e-12)
        proxy_lengths = proxies.norm(dim=1, keepdim=True).clamp_min_(1e-12)
        units, proxy_units = embeddings / lengths, proxies / proxy_lengths
        cosines = units @ proxy_units.t()
        own = _own(labels, cosines)
        terms = torch.where(own, -cosines, cosines).add_(margin).mul_(alpha).exp_()
        pull, push = (terms * own).sum(0), terms.masked_fill(own, 0.0).sum(0)
        present = own.any(0).sum()
        terms.mul_(torch.where(own, -alpha / ((1 + pull) * present), (alpha / cosines.shape[1]) / (1 + push)))
        ctx.save_for_backward(units, proxy_units, lengths, proxy_lengths, terms)
        return pull.log1p().sum() / present + push.log1p().mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        units, proxy_units, lengths, proxy_lengths, terms = ctx.saved_tensors
        to_cosines = terms * gradient
        to_embeddings, to_proxies = ctx.needs_input_grad[:2]
        return (
            _through_scaling(to_cosines @ proxy_units, units, lengths) if to_embeddings else None,
            _through_scaling(to_cosines.t() @ units, proxy_units, proxy_lengths) if to_proxies else None,
            None,
            None,
            None,
        )


def _through_scaling(gradient: Tensor, units: Tensor, lengths: Tensor) -> Tensor:
    """The gradient to vectors from that to their unit vectors, each shape (n, d); lengths are (n, 1)."""
    return (gradient - units * (gradient * units).sum(1, keepdim=True)) / lengths


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
        return Criterion(_Proxies(num_classes, dim, self.alpha, self.delta), cosines_to_rows)
