"""The order attack: a query is perturbed so that its nearest images change their order."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from attacks.objectives.base import Score
from attacks.problem import Problem
from attacks.ranking.base import MEASURES, Measure, both_tie_rules, distance
from attacks.ranking.targets import nearest_in_drawn_order
from benchmark.core.errors import BenchmarkError
from benchmark.core.parameters import Number
from benchmark.metrics.ranking import short_range_correlation


@MEASURES.register("order")
class Order(Measure):
    """OA: the order attack (Zhou et al. 2021, arXiv 2103.05248), on the query's nearest clean images.

    The paper's white-box objective, with the constants of its code. The measure is beside the ten of the
    empirical robustness score, which does not change.

    Attributes:
        candidates: k, the number of nearest images that get another order.
        visible: N, the length of the ranking that is shown to the attacker; the whole ranking when not
            given, as in the paper's white box. Candidates beyond it count as out of order.
        preserve: weight of the term that keeps the candidates ahead of all other images: 10 for the paper's
            small images, 1000 for its photographs.
    """

    candidates: Annotated[int, Field(ge=2)] = 5
    visible: PositiveInt | None = None
    preserve: Annotated[Number, Field(ge=0)] = 10.0

    def targets(self, clean: Tensor, labels: Tensor, ids: Tensor) -> Tensor:
        """Draws the order of each image's k nearest others, (n, k): the first is to be the nearest.

        Raises:
            BenchmarkError: when the pool has too few images.
        """
        if len(clean) <= self.candidates:
            raise BenchmarkError(
                f"{self.spec} needs a pool of more than {self.candidates} images, not {len(clean)}."
            )
        return nearest_in_drawn_order(clean, ids, self.candidates, self.name, self.seed)

    def bind(self, problem: Problem) -> Score:
        """Returns minus the mean violation of the drawn order, and of "ahead of all other images"."""
        clean, order = problem.clean, self.targets(problem.clean, problem.labels, problem.ids)
        pool, count = problem.all_indices, self.candidates
        later = torch.ones(count, count, device=clean.device).triu(1)

        def score(embeddings: Tensor, index: Tensor) -> Tensor:
            distances = distance(embeddings @ clean.t())
            wanted = distances.gather(1, order[index])
            chain = (wanted.unsqueeze(2) - wanted.unsqueeze(1)).clamp_min(0) * later
            ahead = (wanted.unsqueeze(2) - distances.unsqueeze(1)).clamp_min(0)
            ahead = ahead.masked_fill((index.unsqueeze(1) == pool).unsqueeze(1), 0)
            return -(chain.mean((1, 2)) + self.preserve * ahead.mean((1, 2)))

        return score

    def scores(self, clean: Tensor, attacked: Tensor, labels: Tensor, targets: Tensor) -> dict[str, float]:
        """Computes the mean short-range rank correlation of the drawn order and the attacked query's.

        In [-1, 1]: 1 is the drawn order, 0 what a drawn order has on average without an attack. The authors'
        code leaves ties in the order of a sort, which is arbitrary: 0 on average.
        """
        against_model, published = (
            short_range_correlation(attacked, clean, targets, self.visible, tied)
            for tied in ("concordant", "random")
        )
        return both_tie_rules(f"{self.name}_src", against_model, published)
