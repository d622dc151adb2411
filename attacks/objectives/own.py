"""Away from one's own class."""

from __future__ import annotations

from torch import Tensor

from attacks.objectives.base import OBJECTIVES, Objective, Score
from attacks.problem import Problem


@OBJECTIVES.register("own")
class Own(Objective):
    """-cos(z, c_own), with c the centroids of the classes of the clean pool."""

    def bind(self, problem: Problem) -> Score:
        """The score against the centroids of the problem."""
        own = problem.centroids[problem.labels]

        def score(embeddings: Tensor, index: Tensor) -> Tensor:
            return -(embeddings * own[index]).sum(1)

        return score
