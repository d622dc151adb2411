"""Objective: cross-entropy over centroids of the attacked pool."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from pydantic import PositiveFloat
from torch import Tensor

from attacks.objectives.base import OBJECTIVES, Objective
from attacks.problem import Problem
from attacks.save_point import Stateful


class ReclusterScore(Stateful):
    """The score against the classes' attacked centroids, recomputed once all images have moved."""

    constant: ClassVar[tuple[str, ...]] = ("labels",)

    def __init__(self, problem: Problem, scale: float) -> None:
        self.labels = problem.labels
        self.scale = scale / problem.cosine_gap
        self._bank = problem.clean.clone()
        self._perturbed = len(problem.perturbed)
        self._observed = 0
        self.centroids = problem.centroids.clone()

    def observe(self, index: Tensor, embeddings: Tensor) -> None:
        """Records the current embeddings of the images at `index`."""
        self._bank[index] = F.normalize(embeddings.detach())
        self._observed += len(index)
        if self._observed >= self._perturbed:
            self._observed = 0
            sums = self._bank.new_zeros(self.centroids.shape).index_add_(0, self.labels, self._bank)
            self.centroids.copy_(F.normalize(sums))

    def __call__(self, embeddings: Tensor, index: Tensor) -> Tensor:
        """Computes the cross-entropy of each image's class."""
        logits = self.scale * embeddings @ self.centroids.t()
        return F.cross_entropy(logits, self.labels[index], reduction="none")


@OBJECTIVES.register("recluster")
class Recluster(Objective):
    """`centroid_ce` with centroids of the attacked pool, recomputed once all images have moved.

    Attributes:
        scale: factor on the cosines before the softmax, divided by the pool's typical gap of
            cosines (`Problem.cosine_gap`).
    """

    pooled: ClassVar[bool] = True
    capturable: ClassVar[bool] = True

    scale: PositiveFloat = 2.5

    def bind(self, problem: Problem) -> ReclusterScore:
        """Returns the score, with centroids that start at the clean ones."""
        return ReclusterScore(problem, self.scale)
