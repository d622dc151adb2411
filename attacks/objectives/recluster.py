"""Cross-entropy over centroids that follow the attacked pool."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from pydantic import PositiveFloat
from torch import Tensor

from attacks.objectives.base import OBJECTIVES, Objective
from attacks.problem import Problem


class ReclusterScore:
    """The score against the centroids of the classes' attacked images, fitted again when all have moved."""

    def __init__(self, problem: Problem, scale: float) -> None:
        self.labels = problem.labels
        self.scale = scale / problem.cosine_std
        self._bank = problem.clean.clone()
        self._moving = len(problem.perturbed)
        self._seen = 0
        self.centroids = problem.centroids

    def observe(self, index: Tensor, embeddings: Tensor) -> None:
        """Notes where images, by index in the pool, now are."""
        self._bank[index] = F.normalize(embeddings.detach())
        self._seen += len(index)
        if self._seen >= self._moving:
            self._seen = 0
            sums = self._bank.new_zeros(self.centroids.shape).index_add_(0, self.labels, self._bank)
            self.centroids = F.normalize(sums)

    def __call__(self, embeddings: Tensor, index: Tensor) -> Tensor:
        """Cross-entropy of each image's class."""
        logits = self.scale * embeddings @ self.centroids.t()
        return F.cross_entropy(logits, self.labels[index], reduction="none")


@OBJECTIVES.register("recluster")
class Recluster(Objective):
    """`centroid_ce` with the centroids fitted again on the attacked pool whenever all its images have moved.

    Attributes:
        scale: factor on the cosines before the softmax, over the spread of the pool's cosines.
    """

    pooled: ClassVar[bool] = True

    scale: PositiveFloat = 2.5

    def bind(self, problem: Problem) -> ReclusterScore:
        """The score with centroids that start at the clean ones."""
        return ReclusterScore(problem, self.scale)
