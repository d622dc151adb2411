"""Objective: spread each class over the clusters of others."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import PositiveInt
from torch import Tensor

from attacks.objectives.base import OBJECTIVES, Objective, Score
from attacks.problem import Problem

CHUNK = 1024
"""Classes compared with all others at a time."""


@OBJECTIVES.register("scatter")
class Scatter(Objective):
    """cos(z, c_target) - cos(z, c_own), with the targets spread so that a class does not move as one block.

    If a class moves as a whole to another's place, k-means still finds it; so the images of a class are
    assigned, in turn, the 1st, 2nd, ..., `spread`-th nearest of the other classes' centroids.

    Attributes:
        spread: number of nearby centroids that the images of one class are assigned to.
    """

    capturable: ClassVar[bool] = True

    spread: PositiveInt = 10

    def bind(self, problem: Problem) -> Score:
        """Returns the score towards the target centroids of this problem's images."""
        labels, centroids = problem.labels, problem.centroids
        spread = min(self.spread, problem.num_classes - 1)
        classes = torch.arange(problem.num_classes, device=labels.device)
        nearest_parts = []
        for part in classes.split(CHUNK):
            similarity = centroids[part] @ centroids.t()
            itself = part.unsqueeze(1) == classes
            nearest_parts.append(similarity.masked_fill(itself, -torch.inf).topk(spread, dim=1).indices)
        nearest = torch.cat(nearest_parts)
        # Position of each image within its class, in the order of the pool, modulo `spread`.
        order = labels.argsort(stable=True)
        sizes = torch.bincount(labels)
        rank = torch.empty_like(labels)
        rank[order] = (problem.all_indices - (sizes.cumsum(0) - sizes)[labels[order]]) % spread
        own, target = centroids[labels], centroids[nearest[labels, rank]]

        def score(embeddings: Tensor, index: Tensor) -> Tensor:
            return (embeddings * (target[index] - own[index])).sum(1)

        return score
