"""Recall@1's own margin."""

from __future__ import annotations

import torch
from pydantic import PositiveFloat
from torch import Tensor

from attacks.objectives.base import OBJECTIVES, Objective, Score
from attacks.problem import Problem


@OBJECTIVES.register("neighbour")
class Neighbour(Objective):
    """max cos(z, negatives) - max cos(z, positives) over the clean gallery, found anew at each step.

    Positive exactly where Recall@1 fails. The query's own place in the gallery is left out; where some images
    only query, nothing but the others is looked at, by these as by themselves. The gradient is that of a soft
    maximum (log-sum-exp): one that follows the nearest image alone turns round whenever another comes nearer.

    Attributes:
        sharpness: factor on the cosines in the soft maximum, over the spread of the pool's cosines; the
            larger, the nearer to the hard one.
    """

    sharpness: PositiveFloat = 15.0

    def bind(self, problem: Problem) -> Score:
        """The score against the clean gallery of the problem."""
        gallery, labels, places = problem.gallery_clean, problem.labels, problem.gallery
        theirs = labels[places]
        sharpness = self.sharpness / problem.cosine_std

        def score(embeddings: Tensor, index: Tensor) -> Tensor:
            similarity = embeddings @ gallery.t()
            same = labels[index].unsqueeze(1) == theirs
            itself = index.unsqueeze(1) == places
            negatives = similarity.masked_fill(same, -torch.inf)
            positives = similarity.masked_fill(~same | itself, -2.0)  # below any cosine: classes of one image
            soft = _soft_maximum(negatives, sharpness) - _soft_maximum(positives, sharpness)
            hard = negatives.amax(1) - positives.amax(1)
            return soft + (hard - soft).detach()

        return score


def _soft_maximum(similarity: Tensor, sharpness: float) -> Tensor:
    return (sharpness * similarity).logsumexp(1) / sharpness
