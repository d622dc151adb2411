"""Objective: mix the classes of the attacked pool, which k-means is fitted on."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor

from attacks.objectives.base import OBJECTIVES, Objective
from attacks.problem import Problem


class PoolScore:
    """The score against a bank of the latest attacked embedding of each image."""

    def __init__(self, problem: Problem, neighbours: int) -> None:
        self.bank = problem.clean.clone()
        self.labels = problem.labels
        self.counts = torch.bincount(problem.labels)
        self.neighbours = neighbours

    def observe(self, index: Tensor, embeddings: Tensor) -> None:
        """Records the current embeddings of the images at `index`."""
        self.bank[index] = F.normalize(embeddings.detach())

    def __call__(self, embeddings: Tensor, index: Tensor) -> Tensor:
        """Computes the mean cosine to the nearest attacked images of other classes, minus that to its own."""
        labels = self.labels[index]
        similarity = embeddings @ self.bank.t()
        same = labels.unsqueeze(1) == self.labels
        itself = index.unsqueeze(1) == torch.arange(len(self.labels), device=index.device)
        others = similarity.masked_fill(same, -torch.inf)
        count = min(self.neighbours, len(self.labels) - int(self.counts.max()))
        own = (similarity * (same & ~itself)).sum(1) / (self.counts[labels] - 1).clamp_min(1)
        return others.topk(count, dim=1).values.mean(1) - own


@OBJECTIVES.register("pool")
class Pool(Objective):
    """Mean cos to the k nearest *attacked* images of other classes - mean cos to those of its own class.

    All images move jointly. The pool's embeddings are those of the previous step, from the gradient's own
    forward pass; embedding the pool once more at each step would raise the cost by half.

    Attributes:
        neighbours: k, the number of nearest attacked images of other classes.
    """

    pooled: ClassVar[bool] = True

    neighbours: PositiveInt = 20

    def bind(self, problem: Problem) -> PoolScore:
        """Returns the score, with a bank that starts at the clean embeddings."""
        return PoolScore(problem, self.neighbours)
