"""ArcFace."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field, PositiveFloat
from pytorch_metric_learning.losses import ArcFaceLoss

from benchmark.losses.base import LOSSES, Criterion, Loss, to_columns


@LOSSES.register("arcface")
class ArcFace(Loss):
    """ArcFace (Deng et al. 2019, arXiv 1801.07698, eq. 3): softmax with a margin on the own class's angle.

    Attributes:
        margin: in radians, added to the angle between an embedding and its class's weight vector.
        scale: on the cosines.
    """

    margin: Annotated[float, Field(ge=0, lt=math.pi / 2)] = 0.5
    scale: PositiveFloat = 64.0

    def build(self, num_classes: int, dim: int) -> Criterion:
        """A new criterion with fresh weight vectors."""
        # The library takes degrees.
        loss = ArcFaceLoss(num_classes, dim, margin=math.degrees(self.margin), scale=self.scale)
        return Criterion(loss, to_columns)
