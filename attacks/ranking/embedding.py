"""Attacks on the embedding itself: towards another image's, or away from its own."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from attacks.objectives.base import Score
from attacks.problem import Problem
from attacks.ranking.base import MEASURES, Measure
from attacks.ranking.misrank import UntargetedMeasure, recall_at_1
from attacks.ranking.targets import draw
from benchmark.core.seeding import noise_per_image
from benchmark.metrics.ranking import pair_similarity


@MEASURES.register("tma")
class TMA(Measure):
    """TMA: targeted mismatch (Tolias et al. 2019, arXiv 1908.09163), towards an image drawn from the pool."""

    def targets(self, clean: Tensor, labels: Tensor, ids: Tensor) -> Tensor:
        """Draws the image that each image is to be mistaken for, any other."""
        return draw(clean, ids, self.name, self.seed)

    def bind(self, problem: Problem) -> Score:
        """Returns the cosine to the target's clean embedding."""
        clean, targets = problem.clean, self.targets(problem.clean, problem.labels, problem.ids)

        def score(embeddings: Tensor, index: Tensor) -> Tensor:
            return (embeddings * clean[targets[index]]).sum(1)

        return score

    def scores(self, clean: Tensor, attacked: Tensor, labels: Tensor, targets: Tensor) -> dict[str, float]:
        """Computes the mean cosine to the target's clean embedding."""
        return {self.name: float(pair_similarity(attacked, clean[targets]).double().mean())}


@MEASURES.register("es")
class ES(UntargetedMeasure):
    """ES: embedding shift, away from the clean embedding. One attack, two measures: distance and R@1."""

    OFFSET: ClassVar[float] = 1e-6
    """Distance of the repelling point from the clean embedding, where the distance has no gradient."""

    def bind(self, problem: Problem) -> Score:
        """Returns the Euclidean distance to the clean embedding, moved by an offset drawn for each image."""
        clean = problem.clean
        offset = noise_per_image(clean.shape[1:], problem.ids, "robrank", self.name, self.seed, normal=True)
        origin = clean + self.OFFSET * offset.to(clean)

        def score(embeddings: Tensor, index: Tensor) -> Tensor:
            return (embeddings - origin[index]).norm(dim=1)

        return score

    def scores(self, clean: Tensor, attacked: Tensor, labels: Tensor, targets: Tensor) -> dict[str, float]:
        """Computes the mean Euclidean distance to the clean embedding, in [0, 2], and Recall@1."""
        shift = (attacked - clean).double().norm(dim=1)
        return {"es_d": float(shift.mean()), **recall_at_1("es_r1", clean, attacked, labels)}
