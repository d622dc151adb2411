"""Attacks on the embedding itself: towards another image's, or away from its own."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from attacks.objectives.base import Score
from attacks.problem import Problem
from attacks.ranking.base import MEASURES, Measure, twice
from attacks.ranking.misrank import UntargetedMeasure
from attacks.ranking.targets import draw
from benchmark.core.seeding import noise_per_image
from benchmark.metrics.ranking import pair_similarity, top1_is_positive


@MEASURES.register("tma")
class TMA(Measure):
    """TMA: targeted mismatch (Tolias et al. 2019, arXiv 1908.09163), towards an image drawn from the pool."""

    def targets(self, clean: Tensor, labels: Tensor, ids: Tensor) -> Tensor:
        """The image that each image is to be taken for, any other."""
        return draw(clean, ids, self.name, self.seed)

    def bind(self, problem: Problem) -> Score:
        """The cosine to the target's clean embedding."""
        clean, targets = problem.clean, self.targets(problem.clean, problem.labels, problem.ids)

        def score(embeddings: Tensor, index: Tensor) -> Tensor:
            return (embeddings * clean[targets[index]]).sum(1)

        return score

    def figures(self, clean: Tensor, attacked: Tensor, labels: Tensor, targets: Tensor) -> dict[str, float]:
        """The mean cosine to the target's clean embedding."""
        return {self.name: float(pair_similarity(attacked, clean[targets]).double().mean())}


@MEASURES.register("es")
class ES(UntargetedMeasure):
    """ES: embedding shift, away from the clean embedding. One attack, two measures: distance and R@1."""

    NUDGE: ClassVar[float] = 1e-6
    """How far the point to flee from is put off the clean embedding, at which there is no gradient."""

    def bind(self, problem: Problem) -> Score:
        """The Euclidean distance to the clean embedding, but for a nudge that is drawn for each image."""
        clean = problem.clean
        nudge = noise_per_image(clean.shape[1:], problem.ids, "robrank", self.name, self.seed, normal=True)
        origin = clean + self.NUDGE * nudge.to(clean)

        def score(embeddings: Tensor, index: Tensor) -> Tensor:
            return (embeddings - origin[index]).norm(dim=1)

        return score

    def figures(self, clean: Tensor, attacked: Tensor, labels: Tensor, targets: Tensor) -> dict[str, float]:
        """The mean Euclidean distance to the clean embedding, in [0, 2], and R@1 of the attacked queries."""
        shift = (attacked - clean).double().norm(dim=1)
        right = [top1_is_positive(attacked, clean, labels, random_ties) for random_ties in (False, True)]
        return {"es_d": float(shift.mean()), **twice("es_r1", *right)}
