"""Objective: mix the classes of the attacked pool, which k-means is fitted on."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor

from attacks.objectives.base import OBJECTIVES, Objective
from attacks.objectives.own_class import OwnClasses
from attacks.problem import Problem
from attacks.save_point import Stateful


class PoolScore(Stateful):
    """The score against a bank of the latest attacked embedding of each image."""

    constant: ClassVar[tuple[str, ...]] = ("labels", "_own_classes", "_others")

    def __init__(self, problem: Problem, neighbours: int) -> None:
        self.bank = problem.clean.clone()
        self.labels = problem.labels
        self._own_classes = OwnClasses(problem.labels, problem.all_indices)
        self._count = min(neighbours, len(self.labels) - self._own_classes.largest)
        sizes = torch.zeros_like(self.labels).index_add_(0, self.labels, torch.ones_like(self.labels))
        self._others = (sizes - 1).clamp_min(1)
        self._perturbed = len(problem.perturbed)
        self._observed = 0
        self._sums = torch.empty_like(problem.centroids)
        self._add_up()

    def observe(self, index: Tensor, embeddings: Tensor) -> None:
        """Records the current embeddings of the images at `index`."""
        self.bank[index] = F.normalize(embeddings.detach())
        self._observed += len(index)
        if self._observed >= self._perturbed:  # once for all batches of a step
            self._add_up()

    def _add_up(self) -> None:
        """Adds up the embeddings of each class."""
        self._observed = 0
        self._sums.zero_().index_add_(0, self.labels, self.bank)

    def __call__(self, embeddings: Tensor, index: Tensor) -> Tensor:
        """Computes the mean cosine to the nearest attacked images of other classes, minus that to its own."""
        # The mean cosine to some embeddings is the product with their mean.
        return (embeddings * self.direction(embeddings.detach(), index)).sum(1)

    def direction(self, embeddings: Tensor, index: Tensor) -> Tensor:
        """Computes the gradient of the scores with respect to the embeddings, (b, d) both."""
        similarity = embeddings @ self.bank.t()
        self._own_classes.of(index).write(similarity, -torch.inf)
        nearest = similarity.topk(self._count, dim=1, sorted=False).indices
        others = F.embedding_bag(nearest, self.bank, mode="mean")
        return others.sub_(self._own_mean(index))

    def _own_mean(self, index: Tensor) -> Tensor:
        """Returns the mean embedding of the other images of each image's class, shape (b, d)."""
        if self._observed:  # some images have moved and others have not
            self._add_up()
        labels = self.labels[index]
        others = self._others.index_select(0, labels).unsqueeze(1)
        return self._sums.index_select(0, labels).sub_(self.bank.index_select(0, index)).div_(others)


@OBJECTIVES.register("pool")
class Pool(Objective):
    """Mean cos to the k nearest *attacked* images of other classes - mean cos to those of its own class.

    All images move jointly. The pool's embeddings are those of the previous step, from the gradient's own
    forward pass; embedding the pool once more at each step would raise the cost by half.

    Attributes:
        neighbours: k, the number of nearest attacked images of other classes.
    """

    pooled: ClassVar[bool] = True
    capturable: ClassVar[bool] = True

    neighbours: PositiveInt = 20

    def bind(self, problem: Problem) -> PoolScore:
        """Returns the score, with a bank that starts at the clean embeddings."""
        return PoolScore(problem, self.neighbours)
