"""The ArcFace loss."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field, PositiveFloat

from benchmark.losses.base import LOSSES, Criterion, Loss, cosines_to_columns


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
        return Criterion(loss, cosines_to_columns)
