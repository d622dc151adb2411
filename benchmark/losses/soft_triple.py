"""The SoftTriple loss."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from benchmark.losses.base import LOSSES, Criterion, Loss


def _class_similarities(loss: nn.Module, embeddings: Tensor) -> Tensor:
    """Computes the similarity to each class by eq. 6, shape (n, classes)."""
    similarities: Tensor = loss.get_logits(F.normalize(embeddings))  # type: ignore[operator]
    return similarities


def soft_triple(loss: nn.Module, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Computes eq. 8, a scalar.

    Args:
        loss: has the centers, `la`, the factor on the similarities, and `margin`.
        embeddings: shape (n, d).
        labels: shape (n,).
    """
    similarities = _class_similarities(loss, embeddings)
    own = labels.unsqueeze(1) == torch.arange(similarities.shape[1], device=labels.device)
    scale, margin = cast("float", loss.la), cast("float", loss.margin)
    return F.cross_entropy(scale * (similarities - margin * own), labels)


@LOSSES.register("soft_triple")
class SoftTriple(Loss):
    """SoftTriple (Qian et al. 2019, arXiv 1909.05235, eq. 8): softmax over classes with several centers each.

    The similarity to a class is the mean of those to its centers, weighted toward the nearest (eq. 6). The
    paper's regularizer, which merges close centers, is left out, as in pytorch-metric-learning.

    Attributes:
        centres: number of centers per class.
        scale: factor on the similarities, the paper's lambda.
        gamma: temperature of the weights over a class's centers.
        margin: subtracted from the similarity to the true class, the paper's delta.
    """

    centres: PositiveInt = 10
    scale: PositiveFloat = 20.0
    gamma: PositiveFloat = 0.1
    margin: NonNegativeFloat = 0.01

    def build(self, num_classes: int, dim: int) -> Criterion:
        """Builds a criterion with randomly initialized centers."""
        from pytorch_metric_learning.losses import SoftTripleLoss

        loss = SoftTripleLoss(
            num_classes,
            dim,
            centers_per_class=self.centres,
            la=self.scale,
            gamma=self.gamma,
            margin=self.margin,
        )
        return Criterion(loss, _class_similarities, value=soft_triple)
