"""Objective: cross-entropy over the classes' centroids, as for a classifier."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from pydantic import PositiveFloat
from torch import Tensor

from attacks.objectives.base import OBJECTIVES, Objective, Score
from attacks.problem import Problem


@OBJECTIVES.register("centroid_ce")
class CentroidCE(Objective):
    """Cross-entropy of the softmax over scaled cosines to all centroids of the clean pool.

    Attributes:
        scale: factor on the cosines before the softmax, divided by the pool's typical gap of
            cosines (`Problem.cosine_gap`).
    """

    capturable: ClassVar[bool] = True

    scale: PositiveFloat = 2.5

    def bind(self, problem: Problem) -> Score:
        """Returns the score against the clean centroids."""
        labels = problem.labels
        weights = problem.centroids.t() * (self.scale / problem.cosine_gap)

        def score(embeddings: Tensor, index: Tensor) -> Tensor:
            return F.cross_entropy(embeddings @ weights, labels[index], reduction="none")

        return score
