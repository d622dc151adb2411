"""Recall@1's own margin."""

from __future__ import annotations

import torch
from torch import Tensor

from attacks.objectives.base import OBJECTIVES, Objective, Score
from attacks.problem import Problem


@OBJECTIVES.register("neighbour")
class Neighbour(Objective):
    """max cos(z, negatives) - max cos(z, positives) over the clean gallery, found anew at each step.

    Positive exactly where Recall@1 fails. The query's own place in the gallery is left out.
    """

    def bind(self, problem: Problem) -> Score:
        """The score against the clean gallery of the problem."""
        gallery, labels = problem.clean, problem.labels

        def score(embeddings: Tensor, index: Tensor) -> Tensor:
            similarity = embeddings @ gallery.t()
            same = labels[index].unsqueeze(1) == labels
            itself = index.unsqueeze(1) == torch.arange(len(labels), device=index.device)
            negatives = similarity.masked_fill(same, -torch.inf)
            positives = similarity.masked_fill(~same | itself, -2.0)  # below any cosine: classes of one image
            return negatives.amax(1) - positives.amax(1)

        return score
