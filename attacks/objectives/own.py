"""Objective: away from the image's own class."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from attacks.objectives.base import OBJECTIVES, Objective, Score
from attacks.problem import Problem


@OBJECTIVES.register("own")
class Own(Objective):
    """-cos(z, c_own), with c_own the centroid of the image's class in the clean pool."""

    capturable: ClassVar[bool] = True

    def bind(self, problem: Problem) -> Score:
        """Returns the score against the clean centroids."""
        own = problem.centroids[problem.labels]

        def score(embeddings: Tensor, index: Tensor) -> Tensor:
            return -(embeddings * own[index]).sum(1)

        return score
