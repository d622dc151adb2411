"""What a loss is: one of pytorch-metric-learning's, by name, with its proxies where it has any."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.core.errors import UsageError
from benchmark.core.parameters import Parameters
from benchmark.core.registry import Registry

Cosines = Callable[[nn.Module, Tensor], Tensor]
"""From a loss and embeddings, shape (n, d), to cosine similarities to classes, shape (n, classes)."""


class Criterion(nn.Module):
    """A loss on (embeddings, labels).

    Args:
        loss: maps embeddings, shape (n, d), and labels, shape (n,), to a scalar.
        cosines: for a loss with proxies, the cosine similarities of embeddings to the classes.
        miner: chooses the tuples of a batch that the loss is taken on; all when not given.

    Attributes:
        tuples: whether the loss is one on the tuples of a batch, which must then hold several images of each
            of its classes.
    """

    def __init__(
        self,
        loss: nn.Module,
        cosines: Cosines | None = None,
        miner: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.loss = loss
        self.miner = miner
        self._cosines = cosines
        self.tuples = cosines is None

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The loss, a scalar; 0, with a gradient of 0, where a batch holds no tuple."""
        mined = None if self.miner is None else self.miner(embeddings.detach(), labels)
        value: Tensor = self.loss(embeddings, labels, mined)
        return value

    def class_cosines(self, embeddings: Tensor) -> Tensor:
        """Cosine similarity of embeddings, shape (n, d), to each class, shape (n, classes).

        Raises:
            UsageError: when the loss has no proxies.
        """
        if self._cosines is None:
            raise UsageError("This loss has no proxies, so it gives no distribution over classes.")
        return self._cosines(self.loss, embeddings)


def on_tuples(model: nn.Module) -> bool:
    """Whether a loss of the model is one on the tuples of a batch."""
    return any(module.tuples for module in model.modules() if isinstance(module, Criterion))


def to_rows(loss: nn.Module, embeddings: Tensor) -> Tensor:
    """Cosine similarities to one vector a class, in `loss.proxies`, shape (classes, d)."""
    rows: Tensor = loss.proxies  # type: ignore[assignment]
    return F.normalize(embeddings) @ F.normalize(rows).t()


def to_columns(loss: nn.Module, embeddings: Tensor) -> Tensor:
    """Cosine similarities to one vector a class, in `loss.W`, shape (d, classes)."""
    columns: Tensor = loss.W  # type: ignore[assignment]
    return F.normalize(embeddings) @ F.normalize(columns, dim=0)


class Loss(Parameters):
    """A loss by name; subclasses implement `build`.

    Attributes:
        has_proxies: whether the loss keeps vectors for each class, which some defenses need; the others are
            losses on the tuples of a batch.
    """

    has_proxies: ClassVar[bool] = True

    def build(self, num_classes: int, dim: int) -> Criterion:
        """A new criterion with fresh proxies for that many classes and dimensions."""
        raise NotImplementedError


LOSSES: Registry[Loss] = Registry("loss", Loss)
