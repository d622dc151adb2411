"""Objective: the margin of Recall@1."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import PositiveFloat
from torch import Tensor

from attacks.objectives.base import OBJECTIVES, Objective, with_gradient
from attacks.objectives.own_class import OwnClasses
from attacks.problem import Problem


@OBJECTIVES.register("neighbour")
class Neighbour(Objective):
    """max cos(z, negatives) - max cos(z, positives) over the clean gallery, recomputed at each step.

    Positive exactly where Recall@1 fails. The image itself is excluded from the gallery; so are images that
    are queries only. The gradient is that of a soft maximum (log-sum-exp), which gets harder from step to
    step: a hard one changes direction whenever another image becomes the nearest, while a soft one is led by
    images that do not decide the outcome.

    Attributes:
        sharpness: factor on the cosines in the soft maximum at the first step, divided by the pool's typical
            gap of cosines (`Problem.cosine_gap`); larger values approach the hard maximum.
        growth: the sharpness grows towards this multiple of it, in the same ratio at each step; 1 for a
            constant one.
    """

    capturable: ClassVar[bool] = True
    is_margin: ClassVar[bool] = True

    sharpness: PositiveFloat = 7.0
    growth: PositiveFloat = 30.0

    def bind(self, problem: Problem) -> MarginScore:
        """Returns the score against the clean gallery."""
        return MarginScore(problem, self.sharpness, self.growth)


class MarginScore:
    """The margin of Recall@1 against the clean gallery; its gradient is that of soft maxima.

    Args:
        problem: the attack's task.
        sharpness: of the soft maxima at the first step, in units of the pool's gap of cosines.
        growth: multiple that the sharpness grows towards.
        targets: class of each image of the pool whose images alone count as negatives, shape (n,); all other
            classes when not given.
    """

    def __init__(
        self, problem: Problem, sharpness: float, growth: float = 1.0, targets: Tensor | None = None
    ) -> None:
        self._gallery = problem.gallery_clean
        self._classes = problem.labels[problem.gallery]
        self._own_classes = OwnClasses(problem.labels, problem.gallery)
        self._targets = targets
        self._first_sharpness, self._growth = sharpness / problem.cosine_gap, growth
        # A tensor, which replays of a captured step read anew.
        self._sharpness = problem.clean.new_full((), self._first_sharpness)

    def anneal(self, progress: float) -> None:
        """Sets the sharpness of the soft maxima for a step, by the fraction of the steps before it."""
        self._sharpness.fill_(self._first_sharpness * self._growth**progress)

    def __call__(self, embeddings: Tensor, index: Tensor) -> Tensor:
        """Maps embeddings (b, d) of the images at `index` (b,) to margins (b,)."""
        own, gallery = self._own_classes.of(index), self._gallery
        # Without a gradient values are the same to the last bit, whatever steps were taken before.
        sharpness = self._sharpness if embeddings.requires_grad else torch.ones_like(self._sharpness)
        with torch.no_grad():
            negatives = (sharpness * embeddings) @ gallery.t()
            positives = own.positives(negatives, -2.0 * sharpness)  # below any cosine: classes of one image
            if self._targets is None:
                own.write(negatives, -torch.inf)
            else:
                negatives.masked_fill_(self._targets[index].unsqueeze(1) != self._classes, -torch.inf)
            margin = (negatives.amax(1) - positives.amax(1)) / sharpness
            if not embeddings.requires_grad:
                return margin
            # The gradients of the soft maxima: means of the gallery's embeddings, weighted by softmaxes.
            weights = negatives.softmax(1)
            weights.scatter_add_(1, own.columns, -positives.softmax(1) * own.positive)
            gradient = weights @ gallery
        return with_gradient(margin, embeddings, gradient)
