"""Objective: away from the clean embedding."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from attacks.objectives.base import OBJECTIVES, Objective, Score
from attacks.problem import Problem


@OBJECTIVES.register("shift")
class Shift(Objective):
    """1 - cos(z, f(x)); uses the model only, no labels.

    Its minimum is at the clean image, so its gradient there is zero.
    """

    capturable: ClassVar[bool] = True
    flat_at_clean: ClassVar[bool] = True

    def bind(self, problem: Problem) -> Score:
        """Returns the score against the clean embeddings."""
        clean = problem.clean

        def score(embeddings: Tensor, index: Tensor) -> Tensor:
            return 1 - (embeddings * clean[index]).sum(1)

        return score
