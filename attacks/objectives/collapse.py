"""All images to one place."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from attacks.objectives.base import OBJECTIVES, Objective, Score
from attacks.problem import Problem


@OBJECTIVES.register("collapse")
class Collapse(Objective):
    """cos(z, m), with m the direction of the clean pool's mean embedding: knows the pool, no labels."""

    def bind(self, problem: Problem) -> Score:
        """The score against the mean direction of the problem."""
        middle = F.normalize(problem.clean.mean(0), dim=0)

        def score(embeddings: Tensor, index: Tensor) -> Tensor:
            return embeddings @ middle

        return score
