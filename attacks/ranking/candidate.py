"""Candidate attacks: a gallery image is perturbed so that it moves in one query's ranking."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from attacks.objectives.base import Score
from attacks.problem import Problem
from attacks.ranking.base import MEASURES, both_tie_rules, distance
from attacks.ranking.pair_measure import PairMeasure
from benchmark.metrics.ranking import pair_similarity, rank_counts


class CandidateAttack(PairMeasure):
    """An image as a candidate in the ranking of w = 1 clean query."""

    def bind(self, problem: Problem) -> Score:
        """Returns minus the mean violation of "nearer (or further) than all other images" (2002.11293)."""
        clean, targets = problem.clean, self.targets(problem.clean, problem.labels, problem.ids)
        sign = 1 if self.raises else -1
        pool = problem.all_indices

        def score(embeddings: Tensor, index: Tensor) -> Tensor:
            queries = clean[targets[index]]
            candidate = distance((queries * embeddings).sum(1, keepdim=True))
            violation = (sign * (candidate - distance(queries @ clean.t()))).clamp_min(0)
            absent = (index.unsqueeze(1) == pool) | (targets[index].unsqueeze(1) == pool)
            return -violation.masked_fill(absent, 0).mean(1)

        return score

    def scores(self, clean: Tensor, attacked: Tensor, labels: Tensor, targets: Tensor) -> dict[str, float]:
        """Computes the attacked candidate's mean percentile rank among the clean images.

        Robrank counts only images that are strictly nearer, for both directions of the attack.
        """
        queries = clean[targets]
        absent = torch.stack([torch.arange(len(clean)), targets], dim=1)
        counts = rank_counts(queries, clean, pair_similarity(queries, attacked), absent)
        against_model = counts.percentile_rank(0.0 if self.raises else 1.0)
        return both_tie_rules(self.name, against_model, counts.percentile_rank(0.0))


@MEASURES.register("ca_plus")
class CAPlus(CandidateAttack):
    """CA+ (w = 1): raise the image in the ranking of a query drawn from the whole pool."""

    raises: ClassVar[bool] = True


@MEASURES.register("ca_minus")
class CAMinus(CandidateAttack):
    """CA- (w = 1): lower the image in the ranking of a query drawn from its nearest 1 %."""

    raises: ClassVar[bool] = False
