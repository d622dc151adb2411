"""Objective: the margin of Recall@1."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import PositiveFloat
from torch import Tensor

from attacks.objectives.base import OBJECTIVES, Objective, Score, with_gradient
from attacks.objectives.own_class import OwnClasses
from attacks.problem import Problem


@OBJECTIVES.register("neighbour")
class Neighbour(Objective):
    """max cos(z, negatives) - max cos(z, positives) over the clean gallery, recomputed at each step.

    Positive exactly where Recall@1 fails. The image itself is excluded from the gallery; so are images that
    are queries only. The gradient is that of a soft maximum (log-sum-exp): the gradient of the nearest image
    alone changes direction whenever another image becomes the nearest.

    Attributes:
        sharpness: factor on the cosines in the soft maximum, divided by the pool's typical gap of
            cosines (`Problem.cosine_gap`); larger values approach the hard maximum.
    """

    capturable: ClassVar[bool] = True
    is_margin: ClassVar[bool] = True

    sharpness: PositiveFloat = 15.0

    def bind(self, problem: Problem) -> Score:
        """Returns the score against the clean gallery."""
        return neighbour_score(problem, self.sharpness)


def neighbour_score(problem: Problem, sharpness: float, targets: Tensor | None = None) -> Score:
    """Returns the score of the margin of Recall@1 against the clean gallery.

    Args:
        problem: the attack's task.
        sharpness: of the soft maximum, in units of the pool's gap of cosines.
        targets: class of each image of the pool whose images alone count as negatives, shape (n,); all other
            classes when not given.
    """
    gallery, own_classes = problem.gallery_clean, OwnClasses(problem.labels, problem.gallery)
    classes = problem.labels[problem.gallery]
    sharpness = sharpness / problem.cosine_gap

    def score(embeddings: Tensor, index: Tensor) -> Tensor:
        own = own_classes.of(index)
        with torch.no_grad():
            negatives = (sharpness * embeddings) @ gallery.t()
            positives = own.positives(negatives, -2.0 * sharpness)  # below any cosine: classes of one image
            if targets is None:
                own.write(negatives, -torch.inf)
            else:
                negatives.masked_fill_(targets[index].unsqueeze(1) != classes, -torch.inf)
            margin = (negatives.amax(1) - positives.amax(1)) / sharpness
            if not embeddings.requires_grad:
                return margin
            # The gradients of the soft maxima: means of the gallery's embeddings, weighted by softmaxes.
            weights = negatives.softmax(1)
            weights.scatter_add_(1, own.columns, -positives.softmax(1) * own.positive)
            gradient = weights @ gallery
        return with_gradient(margin, embeddings, gradient)

    return score
