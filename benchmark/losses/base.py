"""The base class and registry of losses, and the criterion that wraps one of pytorch-metric-learning."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.core.errors import UsageError
from benchmark.core.parameters import Parameters
from benchmark.core.registry import Registry

Cosines = Callable[[nn.Module, Tensor], Tensor]
"""Maps a loss and embeddings, shape (n, d), to cosine similarities to the classes, shape (n, classes)."""

Value = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""Maps a loss, embeddings, shape (n, d), and labels, shape (n,), to the value of the loss, a scalar."""


SCALAR_ADVICE = "Return one tensor of shape (), a mean or a sum over the batch, not detached."
"""What to do where a loss cannot be minimized."""


class Criterion(nn.Module):
    """A loss on (embeddings, labels), with its miner and its proxies where it has them.

    Args:
        loss: maps embeddings, shape (n, d), and labels, shape (n,), to a scalar.
        cosines: computes the cosine similarities of embeddings to the classes; None for a loss without
            proxies.
        miner: selects the tuples of a batch that the loss is computed on; all when not given.
        value: computes the loss in place of the module's own `forward`. For the losses of
            pytorch-metric-learning, which look at values on the device several times in each call; the
            module then holds the parameters only.

    Attributes:
        tuples: whether the loss is computed on the tuples of a batch, which must then hold several images of
            each of its classes.
    """

    def __init__(
        self,
        loss: nn.Module,
        cosines: Cosines | None = None,
        miner: nn.Module | None = None,
        value: Value | None = None,
    ) -> None:
        super().__init__()
        self.loss = loss
        self._value = value
        self.miner = miner
        self._cosines = cosines
        self.tuples = cosines is None

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Computes the loss, a scalar; 0, with a gradient of 0, where a batch holds no tuple.

        Args:
            embeddings: shape (n, d).
            labels: shape (n,).
        """
        if self._value is not None:
            return self._value(self.loss, embeddings, labels)
        mined = None if self.miner is None else self.miner(embeddings.detach(), labels)
        value: Tensor = self.loss(embeddings, labels, mined)
        return value

    def class_cosines(self, embeddings: Tensor) -> Tensor:
        """Computes the cosine similarity of embeddings, shape (n, d), to each class, shape (n, classes).

        Raises:
            UsageError: when the loss has no proxies.
        """
        if self._cosines is None:
            raise UsageError("This loss has no proxies, so it gives no distribution over classes.")
        return self._cosines(self.loss, embeddings)


def wrong_loss(loss: object) -> str:
    """Says why a value cannot be minimized, as a clause; empty for a scalar tensor with a gradient."""
    if not isinstance(loss, Tensor) or loss.shape != ():
        shape = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else f"a {type(loss).__name__}"
        return f"the loss is {shape}, not a scalar tensor"
    return "" if loss.requires_grad else "the loss carries no gradient"


def wrong_criterion(built: object) -> str:
    """Says what a loss builds in place of a criterion, as a clause; empty for one."""
    return "" if isinstance(built, Criterion) else f"build returns {type(built).__name__}, not a Criterion"


def on_tuples(model: nn.Module) -> bool:
    """Whether any loss within the model is computed on the tuples of a batch."""
    return any(module.tuples for module in model.modules() if isinstance(module, Criterion))


def cosines_to_rows(loss: nn.Module, embeddings: Tensor) -> Tensor:
    """Computes cosine similarities to `loss.proxies`, shape (classes, d), one row for each class."""
    rows: Tensor = loss.proxies  # type: ignore[assignment]
    return F.normalize(embeddings) @ F.normalize(rows).t()


def cosines_to_columns(loss: nn.Module, embeddings: Tensor) -> Tensor:
    """Computes cosine similarities to `loss.W`, shape (d, classes), one column for each class."""
    columns: Tensor = loss.W  # type: ignore[assignment]
    return F.normalize(embeddings) @ F.normalize(columns, dim=0)


class Loss(Parameters):
    """The parameters of a loss; subclasses implement `build`.

    Attributes:
        has_proxies: whether the loss has proxies, learned vectors for each class, which some defenses need; a
            loss without proxies is computed on the tuples of a batch.
    """

    has_proxies: ClassVar[bool] = True

    def build(self, num_classes: int, dim: int) -> Criterion:
        """Builds a criterion, with randomly initialized proxies where the loss has them.

        pytorch-metric-learning takes a second to import, so the losses here import it in this method.

        Args:
            num_classes: number of training classes.
            dim: dimension d of the embeddings.
        """
        raise NotImplementedError


LOSSES: Registry[Loss] = Registry("loss", Loss)
