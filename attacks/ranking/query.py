"""Query attacks: a query is changed so that one candidate moves in its ranking."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from attacks.objectives.base import Score
from attacks.problem import Problem
from attacks.ranking.base import MEASURES, distance, twice
from attacks.ranking.pair_measure import PairMeasure
from attacks.ranking.targets import draw
from benchmark.metrics.ranking import RankCounts, pair_similarity, rank_counts


class QueryAttack(PairMeasure):
    """An image as a query, about m = 1 clean candidate; without the term that preserves semantics."""

    def bind(self, problem: Problem) -> Score:
        """Minus the mean violation of "nearer (or further) than each other image" (arXiv 2002.11293)."""
        clean, targets = problem.clean, self.targets(problem.clean, problem.labels, problem.ids)
        sign = 1 if self.raises else -1
        everything = torch.arange(len(clean), device=clean.device)

        def score(embeddings: Tensor, index: Tensor) -> Tensor:
            distances = distance(embeddings @ clean.t())
            candidate = distances.gather(1, targets[index].unsqueeze(1))
            violated = (sign * (candidate - distances)).clamp_min(0)
            return -violated.masked_fill(index.unsqueeze(1) == everything, 0).mean(1)

        return score

    def places(self, clean: Tensor, attacked: Tensor, targets: Tensor) -> RankCounts:
        """The candidate's place among the clean images, in the attacked query's ranking."""
        absent = torch.stack([torch.arange(len(clean)), targets], dim=1)
        return rank_counts(attacked, clean, pair_similarity(attacked, clean[targets]), absent)

    def figures(self, clean: Tensor, attacked: Tensor, labels: Tensor, targets: Tensor) -> dict[str, float]:
        """The candidate's mean percentile rank in the attacked query's ranking.

        Robrank takes its position after a sort, which leaves ties in no certain order: half ahead on average.
        """
        found = self.places(clean, attacked, targets)
        return twice(
            self.name, found.percentile_rank(0.0 if self.raises else 1.0), found.percentile_rank(0.5)
        )


@MEASURES.register("qa_plus")
class QAPlus(QueryAttack):
    """QA+ (m = 1): raise a candidate drawn from the whole pool."""

    raises: ClassVar[bool] = True


@MEASURES.register("qa_minus")
class QAMinus(QueryAttack):
    """QA- (m = 1): lower a candidate drawn from the query's nearest one per cent."""

    raises: ClassVar[bool] = False


@MEASURES.register("gtt")
class GTT(QueryAttack):
    """GTT: greedy top-1 translocation, the clean top-1 driven out of the attacked query's first four."""

    raises: ClassVar[bool] = False

    FIRST: ClassVar[int] = 4

    def targets(self, clean: Tensor, labels: Tensor, ids: Tensor) -> Tensor:
        """The nearest other image, of whatever class."""
        return draw(clean, ids, self.name, self.seed, nearest=1)

    def figures(self, clean: Tensor, attacked: Tensor, labels: Tensor, targets: Tensor) -> dict[str, float]:
        """The share of queries whose clean top-1 is still among their first four."""
        found = self.places(clean, attacked, targets)
        return twice(self.name, *(found.in_top_k(self.FIRST, random_ties) for random_ties in (False, True)))
