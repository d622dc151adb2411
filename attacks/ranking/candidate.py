"""Candidate attacks: a gallery image is changed so that it moves in one query's ranking."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from attacks.objectives.base import Score
from attacks.problem import Problem
from attacks.ranking.base import MEASURES, distance, twice
from attacks.ranking.pair_measure import PairMeasure
from benchmark.metrics.ranking import pair_similarity, rank_counts


class CandidateAttack(PairMeasure):
    """An image as a candidate in the ranking of w = 1 clean query."""

    def bind(self, problem: Problem) -> Score:
        """Minus the mean violation of "nearer (or further) than each other image" (arXiv 2002.11293)."""
        clean, targets = problem.clean, self.targets(problem.clean, problem.labels, problem.ids)
        sign = 1 if self.raises else -1
        everything = torch.arange(len(clean), device=clean.device)

        def score(embeddings: Tensor, index: Tensor) -> Tensor:
            queries = clean[targets[index]]
            candidate = distance((queries * embeddings).sum(1, keepdim=True))
            violated = (sign * (candidate - distance(queries @ clean.t()))).clamp_min(0)
            absent = (index.unsqueeze(1) == everything) | (targets[index].unsqueeze(1) == everything)
            return -violated.masked_fill(absent, 0).mean(1)

        return score

    def figures(self, clean: Tensor, attacked: Tensor, labels: Tensor, targets: Tensor) -> dict[str, float]:
        """The attacked candidate's mean percentile rank among the clean images.

        Robrank counts only those that are strictly nearer, whichever way the attack goes.
        """
        queries = clean[targets]
        absent = torch.stack([torch.arange(len(clean)), targets], dim=1)
        found = rank_counts(queries, clean, pair_similarity(queries, attacked), absent)
        return twice(
            self.name, found.percentile_rank(0.0 if self.raises else 1.0), found.percentile_rank(0.0)
        )


@MEASURES.register("ca_plus")
class CAPlus(CandidateAttack):
    """CA+ (w = 1): raise the image in the ranking of a query drawn from the whole pool."""

    raises: ClassVar[bool] = True


@MEASURES.register("ca_minus")
class CAMinus(CandidateAttack):
    """CA- (w = 1): lower the image in the ranking of a query drawn from its nearest one per cent."""

    raises: ClassVar[bool] = False
