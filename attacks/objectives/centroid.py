"""Objective: towards the nearest other class."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from attacks.objectives.base import OBJECTIVES, Objective, Score
from attacks.problem import Problem


@OBJECTIVES.register("centroid")
class Centroid(Objective):
    """cos(z, c_wrong) - cos(z, c_own), c_wrong the other centroid nearest to z, recomputed at each step."""

    capturable: ClassVar[bool] = True

    def bind(self, problem: Problem) -> Score:
        """Returns the score against the clean centroids."""
        centroids, labels = problem.centroids, problem.labels

        def score(embeddings: Tensor, index: Tensor) -> Tensor:
            similarity = embeddings @ centroids.t()
            own = labels[index].unsqueeze(1)
            wrong = similarity.scatter(1, own, -torch.inf).amax(1)
            return wrong - similarity.gather(1, own).squeeze(1)

        return score
