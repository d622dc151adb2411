"""Attacks on Recall@1: learning to misrank, and greedy top-1 misranking."""

from __future__ import annotations

import torch
from torch import Tensor

from attacks.objectives.base import Score
from attacks.problem import Problem
from attacks.ranking.base import MEASURES, Measure, distance, twice
from attacks.ranking.targets import nearest_of_other_classes
from benchmark.metrics.ranking import top1_is_positive


class UntargetedMeasure(Measure):
    """A measure of attacks that are not about another image, by Recall@1 of the attacked queries."""

    def targets(self, clean: Tensor, labels: Tensor, ids: Tensor) -> Tensor:
        """Each image itself."""
        return torch.arange(len(clean), device=clean.device)

    def figures(self, clean: Tensor, attacked: Tensor, labels: Tensor, targets: Tensor) -> dict[str, float]:
        """R@1 of the attacked queries against the clean gallery."""
        right = [top1_is_positive(attacked, clean, labels, random_ties) for random_ties in (False, True)]
        return twice(f"{self.name}_r1", *right)


@MEASURES.register("ltm")
class LTM(UntargetedMeasure):
    """LTM: learning to misrank (Wang et al. 2020, arXiv 2004.04199), furthest negative before positives."""

    def bind(self, problem: Problem) -> Score:
        """Minus how much further the furthest negative is than the nearest positive, 0 where it is not."""
        clean, labels = problem.clean, problem.labels
        everything = torch.arange(len(clean), device=clean.device)

        def score(embeddings: Tensor, index: Tensor) -> Tensor:
            cosines = embeddings @ clean.t()
            same = labels[index].unsqueeze(1) == labels
            positive = same & (index.unsqueeze(1) != everything)
            furthest = cosines.masked_fill(same, torch.inf).amin(1)
            nearest = cosines.masked_fill(~positive, -1.0).amax(1)  # opposite, where a class has one image
            return -(distance(furthest) - distance(nearest)).clamp_min(0)

        return score


@MEASURES.register("gtm")
class GTM(UntargetedMeasure):
    """GTM: greedy top-1 misranking, towards the nearest clean image of another class."""

    def targets(self, clean: Tensor, labels: Tensor, ids: Tensor) -> Tensor:
        """The nearest image of another class than the query's own."""
        return nearest_of_other_classes(clean, labels)

    def bind(self, problem: Problem) -> Score:
        """Minus the Euclidean distance to the target."""
        clean, targets = problem.clean, self.targets(problem.clean, problem.labels, problem.ids)

        def score(embeddings: Tensor, index: Tensor) -> Tensor:
            return -distance((embeddings * clean[targets[index]]).sum(1))

        return score
