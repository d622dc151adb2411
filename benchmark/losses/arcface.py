"""The ArcFace loss."""

from __future__ import annotations

import math
from typing import Annotated, cast

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveFloat
from torch import Tensor, nn

from benchmark.losses.base import LOSSES, Criterion, Loss, cosines_to_columns


def arcface(loss: nn.Module, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Computes eq. 3, a scalar; beyond pi - margin the cosine falls linearly, so that it stays monotonous.

    Args:
        loss: has `W`, shape (d, classes), `margin` in radians, and `scale`.
        embeddings: shape (n, d).
        labels: shape (n,).
    """
    margin, scale = float(cast("float", loss.margin)), cast("float", loss.scale)
    cosines = cosines_to_columns(loss, embeddings)
    own = cosines.gather(1, labels.unsqueeze(1))
    angles = own.clamp(-1, 1).acos()
    harder = torch.where(
        angles <= math.pi - margin, (angles + margin).cos(), angles.cos() - margin * math.sin(margin)
    )
    return F.cross_entropy(scale * cosines.scatter(1, labels.unsqueeze(1), harder), labels)


@LOSSES.register("arcface")
class ArcFace(Loss):
    """ArcFace (Deng et al. 2019, arXiv 1801.07698, eq. 3): softmax with an angular margin on the true class.

    Attributes:
        margin: added to the angle between an embedding and its class's weight vector, in radians.
        scale: factor on the cosines.
    """

    margin: Annotated[float, Field(ge=0, lt=math.pi / 2)] = 0.5
    scale: PositiveFloat = 64.0

    def build(self, num_classes: int, dim: int) -> Criterion:
        """Builds a criterion with randomly initialized weight vectors, one for each class."""
        from pytorch_metric_learning.losses import ArcFaceLoss

        # pytorch-metric-learning takes degrees.
        loss = ArcFaceLoss(num_classes, dim, margin=math.degrees(self.margin), scale=self.scale)
        return Criterion(loss, cosines_to_columns, value=arcface)
