"""Query attacks: a query is perturbed so that one candidate moves in its ranking."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from attacks.objectives.base import Score
from attacks.problem import Problem
from attacks.ranking.base import MEASURES, both_tie_rules, distance
from attacks.ranking.pair_measure import PairMeasure
from attacks.ranking.targets import draw
from benchmark.metrics.ranking import RankCounts, pair_similarity, rank_counts


class QueryAttack(PairMeasure):
    """An image as a query, with m = 1 clean candidate; without the term that preserves semantics."""

    def bind(self, problem: Problem) -> Score:
        """Returns minus the mean violation of "nearer (or further) than all other images" (2002.11293)."""
        clean, targets = problem.clean, self.targets(problem.clean, problem.labels, problem.ids)
        sign = 1 if self.raises else -1
        pool = problem.all_indices

        def score(embeddings: Tensor, index: Tensor) -> Tensor:
            distances = distance(embeddings @ clean.t())
            candidate = distances.gather(1, targets[index].unsqueeze(1))
            violation = (sign * (candidate - distances)).clamp_min(0)
            return -violation.masked_fill(index.unsqueeze(1) == pool, 0).mean(1)

        return score

    def rank_counts(self, clean: Tensor, attacked: Tensor, targets: Tensor) -> RankCounts:
        """Ranks the candidate among the clean images, by similarity to the attacked query.

        Args:
            clean: embeddings of the clean pool, shape (n, d).
            attacked: embeddings of the attacked pool, shape (n, d).
            targets: index of each query's candidate, shape (n,).
        """
        absent = torch.stack([torch.arange(len(clean)), targets], dim=1)
        return rank_counts(attacked, clean, pair_similarity(attacked, clean[targets]), absent)

    def scores(self, clean: Tensor, attacked: Tensor, labels: Tensor, targets: Tensor) -> dict[str, float]:
        """Computes the candidate's mean percentile rank in the attacked query's ranking.

        Robrank takes the position after a sort, whose order of ties is arbitrary: half are ahead on average.
        """
        counts = self.rank_counts(clean, attacked, targets)
        against_model = counts.percentile_rank(0.0 if self.raises else 1.0)
        return both_tie_rules(self.name, against_model, counts.percentile_rank(0.5))


@MEASURES.register("qa_plus")
class QAPlus(QueryAttack):
    """QA+ (m = 1): raise a candidate drawn from the whole pool."""

    raises: ClassVar[bool] = True


@MEASURES.register("qa_minus")
class QAMinus(QueryAttack):
    """QA- (m = 1): lower a candidate drawn from the query's nearest 1 %."""

    raises: ClassVar[bool] = False


@MEASURES.register("gtt")
class GTT(QueryAttack):
    """GTT: greedy top-1 translocation, the clean top-1 moved out of the attacked query's first four."""

    raises: ClassVar[bool] = False

    FIRST: ClassVar[int] = 4

    def targets(self, clean: Tensor, labels: Tensor, ids: Tensor) -> Tensor:
        """Returns the nearest other image, of any class."""
        return draw(clean, ids, self.name, self.seed, nearest=1)

    def scores(self, clean: Tensor, attacked: Tensor, labels: Tensor, targets: Tensor) -> dict[str, float]:
        """Computes the fraction of queries whose clean top-1 is still among their first four."""
        counts = self.rank_counts(clean, attacked, targets)
        against_model, published = (counts.in_top_k(self.FIRST, random_ties) for random_ties in (False, True))
        return both_tie_rules(self.name, against_model, published)
