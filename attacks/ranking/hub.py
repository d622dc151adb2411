"""Adversarial hubs: a gallery image is perturbed to be the first result of many queries."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor

from attacks.objectives.base import Score
from attacks.objectives.hub import target_queries
from attacks.problem import Problem
from attacks.ranking.base import MEASURES, Measure, both_tie_rules
from benchmark.metrics.ranking import first_result_share


@MEASURES.register("hub")
class HubMeasure(Measure):
    """Adversarial hubs (Zhang et al. 2024, arXiv 2412.14113): near to drawn queries of other classes.

    The paper's objective, the mean cosine to 100 target queries, and its measure: how many of all queries
    have the image as their first result. That only queries of other classes count is our adaptation. The
    measure is beside the ten of the empirical robustness score, which does not change.

    Attributes:
        queries: number of target queries of each image.
        near: whether they are the nearest ones, in place of drawn ones.
    """

    queries: PositiveInt = 100
    near: bool = False

    def targets(self, clean: Tensor, labels: Tensor, ids: Tensor) -> Tensor:
        """Chooses the queries that each image is moved towards, of other classes, (n, k)."""
        every = torch.arange(len(labels), device=labels.device)
        return target_queries(clean, labels, ids, every, self.queries, self.near, self.seed)

    def bind(self, problem: Problem) -> Score:
        """Returns the mean cosine to the target queries."""
        chosen = self.targets(problem.clean, problem.labels, problem.ids)
        # The mean cosine to some embeddings is the product with their mean.
        targets = F.embedding_bag(chosen, problem.clean, mode="mean")

        def score(embeddings: Tensor, index: Tensor) -> Tensor:
            return (embeddings * targets[index]).sum(1)

        return score

    def scores(self, clean: Tensor, attacked: Tensor, labels: Tensor, targets: Tensor) -> dict[str, float]:
        """Computes the fraction of the queries of other classes whose first result is the attacked image.

        The authors' code leaves ties in the order of a sort: half of the tied images are ahead on average.
        """
        against_model, published = (
            first_result_share(clean, attacked, labels, weight) for weight in (1.0, 0.5)
        )
        return both_tie_rules(f"{self.name}_top1", against_model, published)
