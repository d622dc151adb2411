"""Losses of pytorch-metric-learning, by name."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from pydantic import PositiveFloat
from pytorch_metric_learning import losses as pml
from torch import Tensor, nn

from benchmark.core.errors import UsageError
from benchmark.core.parameters import Parameters
from benchmark.core.registry import Registry


class Criterion(nn.Module):
    """A loss on (embeddings, labels), with its proxies when it has any.

    Args:
        loss: maps embeddings, shape (n, d), and labels, shape (n,), to a scalar.
        proxies: one vector a class, shape (classes, d), shared with `loss`; None for losses on tuples.
        transposed: whether `proxies` is stored as (d, classes).
    """

    def __init__(
        self, loss: nn.Module, proxies: nn.Parameter | None = None, transposed: bool = False
    ) -> None:
        super().__init__()
        self.loss = loss
        # Kept out of the module's own parameters: the loss owns it, and a checkpoint must hold it once.
        self._proxies = (proxies,)
        self._transposed = transposed

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The loss, a scalar."""
        value: Tensor = self.loss(embeddings, labels)
        return value

    def class_cosines(self, embeddings: Tensor) -> Tensor:
        """Cosine similarity of embeddings, shape (n, d), to each class's proxy, shape (n, classes).

        Raises:
            UsageError: when the loss has no proxies.
        """
        (proxies,) = self._proxies
        if proxies is None:
            raise UsageError("This loss has no proxies, so it gives no distribution over classes.")
        rows = proxies.t() if self._transposed else proxies
        return F.normalize(embeddings) @ F.normalize(rows).t()


class Loss(Parameters):
    """A loss by name; subclasses implement `build`.

    Attributes:
        has_proxies: whether the loss keeps one vector a class, which some defenses need.
    """

    has_proxies: ClassVar[bool] = True

    def build(self, num_classes: int, dim: int) -> Criterion:
        """A new criterion with fresh proxies for that many classes and dimensions."""
        raise NotImplementedError


LOSSES: Registry[Loss] = Registry("loss", Loss)


@LOSSES.register("proxy_anchor")
class ProxyAnchor(Loss):
    """Proxy Anchor (Kim et al. 2020, arXiv 2003.13911, eq. 4); one proxy a class.

    Attributes:
        alpha: scale of the similarities.
        delta: margin.
    """

    alpha: PositiveFloat = 32.0
    delta: float = 0.1

    def build(self, num_classes: int, dim: int) -> Criterion:
        """A new criterion with fresh proxies."""
        loss = pml.ProxyAnchorLoss(num_classes, dim, margin=self.delta, alpha=self.alpha)
        return Criterion(loss, loss.proxies)


@LOSSES.register("normalized_softmax")
class NormalizedSoftmax(Loss):
    """Cross-entropy over cosine similarities to one weight vector a class (Zhai & Wu 2019, arXiv 1811.12649).

    Attributes:
        temperature: divides the similarities.
    """

    temperature: PositiveFloat = 0.05

    def build(self, num_classes: int, dim: int) -> Criterion:
        """A new criterion with fresh weight vectors."""
        loss = pml.NormalizedSoftmaxLoss(num_classes, dim, temperature=self.temperature)
        return Criterion(loss, loss.W, transposed=True)


@LOSSES.register("multi_similarity")
class MultiSimilarity(Loss):
    """Multi-Similarity (Wang et al. 2019, arXiv 1904.06627, eq. 15), a loss on the pairs of a batch.

    Attributes:
        alpha: scale on the positive pairs.
        beta: scale on the negative pairs.
        base: similarity around which both are measured.
    """

    has_proxies: ClassVar[bool] = False

    alpha: PositiveFloat = 2.0
    beta: PositiveFloat = 50.0
    base: float = 0.5

    def build(self, num_classes: int, dim: int) -> Criterion:
        """A new criterion; it has no parameters."""
        return Criterion(pml.MultiSimilarityLoss(alpha=self.alpha, beta=self.beta, base=self.base))
