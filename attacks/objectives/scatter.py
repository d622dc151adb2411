"""Spread each class over the clusters of others."""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from torch import Tensor

from attacks.objectives.base import OBJECTIVES, Objective, Score
from attacks.problem import Problem

CHUNK = 1024
"""Classes compared with all others at a time."""


@OBJECTIVES.register("scatter")
class Scatter(Objective):
    """cos(z, c_target) - cos(z, c_own), the targets dealt so that a class does not move as one block.

    k-means does not mind a class that moves whole to another's place; so the images of a class are dealt, in
    turn, the 1st, 2nd, ..., `spread`-th nearest of the other classes' centroids.

    Attributes:
        spread: over how many nearby centroids the images of one class are dealt.
    """

    spread: PositiveInt = 10

    def bind(self, problem: Problem) -> Score:
        """The score for the targets dealt in this problem."""
        labels, centroids = problem.labels, problem.centroids
        spread = min(self.spread, problem.num_classes - 1)
        classes = torch.arange(problem.num_classes, device=labels.device)
        found = []
        for some in classes.split(CHUNK):
            similarity = centroids[some] @ centroids.t()
            itself = some.unsqueeze(1) == classes
            found.append(similarity.masked_fill(itself, -torch.inf).topk(spread, dim=1).indices)
        nearest = torch.cat(found)
        # Each image's place among those of its class, in the order of the pool.
        order = labels.argsort(stable=True)
        sizes = torch.bincount(labels)
        turn = torch.empty_like(labels)
        turn[order] = (problem.all_indices - (sizes.cumsum(0) - sizes)[labels[order]]) % spread
        own, target = centroids[labels], centroids[nearest[labels, turn]]

        def score(embeddings: Tensor, index: Tensor) -> Tensor:
            return (embeddings * (target[index] - own[index])).sum(1)

        return score
