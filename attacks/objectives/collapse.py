"""Objective: all images towards one point."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from attacks.objectives.base import OBJECTIVES, Objective, Score
from attacks.problem import Problem


@OBJECTIVES.register("collapse")
class Collapse(Objective):
    """cos(z, m), with m the direction of the clean pool's mean embedding; uses no labels."""

    capturable: ClassVar[bool] = True

    def bind(self, problem: Problem) -> Score:
        """Returns the score against the mean direction of the clean pool."""
        mean = F.normalize(problem.clean.mean(0), dim=0)

        def score(embeddings: Tensor, index: Tensor) -> Tensor:
            return embeddings @ mean

        return score
