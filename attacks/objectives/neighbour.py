"""Objective: the margin of Recall@1."""

from __future__ import annotations

import torch
from pydantic import PositiveFloat
from torch import Tensor

from attacks.objectives.base import OBJECTIVES, Objective, Score
from attacks.problem import Problem


@OBJECTIVES.register("neighbour")
class Neighbour(Objective):
    """max cos(z, negatives) - max cos(z, positives) over the clean gallery, recomputed at each step.

    Positive exactly where Recall@1 fails. The image itself is excluded from the gallery; so are images that
    are queries only. The gradient is that of a soft maximum (log-sum-exp): the gradient of the nearest image
    alone changes direction whenever another image becomes the nearest.

    Attributes:
        sharpness: factor on the cosines in the soft maximum, divided by the standard deviation of the pool's
            cosines; larger values approach the hard maximum.
    """

    sharpness: PositiveFloat = 15.0

    def bind(self, problem: Problem) -> Score:
        """Returns the score against the clean gallery."""
        gallery, labels, indices = problem.gallery_clean, problem.labels, problem.gallery
        gallery_labels = labels[indices]
        sharpness = self.sharpness / problem.cosine_std

        def score(embeddings: Tensor, index: Tensor) -> Tensor:
            similarity = embeddings @ gallery.t()
            same = labels[index].unsqueeze(1) == gallery_labels
            itself = index.unsqueeze(1) == indices
            negatives = similarity.masked_fill(same, -torch.inf)
            positives = similarity.masked_fill(~same | itself, -2.0)  # below any cosine: classes of one image
            soft = _soft_maximum(negatives, sharpness) - _soft_maximum(positives, sharpness)
            hard = negatives.amax(1) - positives.amax(1)
            return soft + (hard - soft).detach()

        return score


def _soft_maximum(similarity: Tensor, sharpness: float) -> Tensor:
    return (sharpness * similarity).logsumexp(1) / sharpness
