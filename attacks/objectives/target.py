"""Objective: the margin of Recall@1 towards one class."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from attacks.objectives.base import OBJECTIVES, Objective
from attacks.objectives.neighbour import MarginScore
from attacks.problem import Problem

CHUNK = 1024
"""Images compared with the gallery at a time."""


@OBJECTIVES.register("target")
class Target(Objective):
    """max cos(z, target class) - max cos(z, positives), as `neighbour` with one class in place of all others.

    The target is the class whose most similar image of the gallery is the nearest, the second nearest, ...
    to the clean image. `neighbour` turns to whichever class is the nearest on its way; from there the way to
    another class may be open where that one is blocked.

    Attributes:
        rank: 1 for the nearest class, 2 for the second nearest, ...; the farthest where there are fewer.
        sharpness: as in `neighbour`.
        growth: as in `neighbour`.
    """

    capturable: ClassVar[bool] = True

    rank: PositiveInt = 1
    sharpness: PositiveFloat = 7.0
    growth: PositiveFloat = 30.0

    def bind(self, problem: Problem) -> MarginScore:
        """Returns the score against the clean gallery."""
        return MarginScore(problem, self.sharpness, self.growth, nearest_class(problem, self.rank))


def nearest_class(problem: Problem, rank: int) -> Tensor:
    """Finds the class of the rank-th smallest distance to each clean image, shape (n,).

    A class is as near as its image in the gallery that is most similar; the own class does not count.
    """
    classes = problem.labels[problem.gallery]
    rank = min(rank, len(classes.unique()) - 1)
    found = []
    for index in problem.all_indices.split(CHUNK):
        cosines = problem.clean[index] @ problem.gallery_clean.t()
        nearest = cosines.new_full((len(index), problem.num_classes), -torch.inf)
        nearest.scatter_reduce_(1, classes.expand(len(index), -1), cosines, "amax")
        nearest.scatter_(1, problem.labels[index].unsqueeze(1), -torch.inf)
        found.append(nearest.topk(max(rank, 1), dim=1).indices[:, -1])
    return torch.cat(found)
