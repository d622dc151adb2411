"""Attacks on Recall@1: learning to misrank, and greedy top-1 misranking."""

from __future__ import annotations

import torch
from torch import Tensor

from attacks.objectives.base import Score
from attacks.problem import Problem
from attacks.ranking.base import MEASURES, Measure, both_tie_rules, distance
from attacks.ranking.targets import nearest_of_other_classes
from benchmark.metrics.ranking import top1_is_positive


class UntargetedMeasure(Measure):
    """A measure of attacks without another image, scored by Recall@1 of the attacked queries."""

    def targets(self, clean: Tensor, labels: Tensor, ids: Tensor) -> Tensor:
        """Returns each image itself."""
        return torch.arange(len(clean), device=clean.device)

    def scores(self, clean: Tensor, attacked: Tensor, labels: Tensor, targets: Tensor) -> dict[str, float]:
        """Computes Recall@1 of the attacked queries against the clean gallery."""
        return recall_at_1(f"{self.name}_r1", clean, attacked, labels)


def recall_at_1(name: str, clean: Tensor, attacked: Tensor, labels: Tensor) -> dict[str, float]:
    """Computes Recall@1 of attacked queries, (n, d), on the clean gallery, (n, d), under both tie rules."""
    against_model, published = (
        top1_is_positive(attacked, clean, labels, random_ties) for random_ties in (False, True)
    )
    return both_tie_rules(name, against_model, published)


@MEASURES.register("ltm")
class LTM(UntargetedMeasure):
    """LTM: learning to misrank (Wang et al. 2020, arXiv 2004.04199), furthest negative before positives."""

    def bind(self, problem: Problem) -> Score:
        """Returns -[d(furthest negative) - d(nearest positive)]+ with d the Euclidean distance."""
        clean, labels = problem.clean, problem.labels
        pool = problem.all_indices

        def score(embeddings: Tensor, index: Tensor) -> Tensor:
            cosines = embeddings @ clean.t()
            same = labels[index].unsqueeze(1) == labels
            positive = same & (index.unsqueeze(1) != pool)
            furthest = cosines.masked_fill(same, torch.inf).amin(1)
            nearest = cosines.masked_fill(~positive, -1.0).amax(1)  # -1 where a class has one image
            return -(distance(furthest) - distance(nearest)).clamp_min(0)

        return score


@MEASURES.register("gtm")
class GTM(UntargetedMeasure):
    """GTM: greedy top-1 misranking, towards the nearest clean image of another class."""

    def targets(self, clean: Tensor, labels: Tensor, ids: Tensor) -> Tensor:
        """Returns the nearest image of another class than the query's own."""
        return nearest_of_other_classes(clean, labels)

    def bind(self, problem: Problem) -> Score:
        """Returns minus the Euclidean distance to the target."""
        clean, targets = problem.clean, self.targets(problem.clean, problem.labels, problem.ids)

        def score(embeddings: Tensor, index: Tensor) -> Tensor:
            return -distance((embeddings * clean[targets[index]]).sum(1))

        return score
