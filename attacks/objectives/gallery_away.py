"""Objective: failures of Recall@1 on an attacked gallery."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat
from torch import Tensor

from attacks.objectives.base import OBJECTIVES, Objective, with_gradient
from attacks.objectives.own_class import OwnClasses
from attacks.problem import Problem

CHUNK = 1024
"""Queries compared with the gallery at a time; memory grows with it times the pool."""


SATURATED = 40.0
"""Exponents are limited to it, where a sigmoid in float64 is 1."""

FAR = -1e4
"""Stands for the similarity to the best positive where a query has none."""


class _TopTwo(NamedTuple):
    """The two gallery images most similar to each query, of one kind (positives or negatives).

    Attributes:
        similarity: their cosines, shape (2, q).
        indices: their indices in the pool, shape (2, q).
    """

    similarity: Tensor
    indices: Tensor

    def of_others(self, index: Tensor, queries: Tensor | slice = slice(None)) -> Tensor:
        """Returns the similarity to the best image that is not the one at `index`, shape (b, 1), by query."""
        itself = self.indices[0][queries] == index
        return torch.where(itself, self.similarity[1][queries], self.similarity[0][queries])


class GalleryScore:
    """The score against a bank of the latest attacked embedding of each image.

    Args:
        problem: the attack's task.
        temperature: at the first step, in units of the pool's gap of cosines.
        cooling: the temperature falls towards this fraction, 1 / cooling.
    """

    def __init__(self, problem: Problem, temperature: float, cooling: float) -> None:
        whole = problem.queries is None
        self.query_indices = problem.all_indices if whole else problem.all_indices[problem.queries]
        self.queries = problem.clean if whole else problem.clean[self.query_indices]
        self.gallery_indices = problem.gallery
        self.bank = problem.clean.clone()
        self._first_temperature, self._cooling = temperature * problem.cosine_gap, cooling
        self.temperature = self._first_temperature
        in_gallery = torch.zeros_like(problem.labels, dtype=torch.bool)
        in_gallery[self.gallery_indices] = True
        # Images that are queries only change nothing.
        self._in_gallery = None if whole else in_gallery
        self._own_queries = OwnClasses(problem.labels, self.query_indices)
        self._own_gallery = OwnClasses(problem.labels, self.gallery_indices)
        self._top: tuple[_TopTwo, _TopTwo] | None = None

    def anneal(self, progress: float) -> None:
        """Sets the temperature for a step, by the fraction of the steps before it."""
        self.temperature = self._first_temperature / self._cooling**progress

    def observe(self, index: Tensor, embeddings: Tensor) -> None:
        """Records the current embeddings of the images at `index`."""
        self.bank[index] = F.normalize(embeddings.detach())
        self._top = None

    def state_dict(self) -> dict[str, Any]:
        """Returns what the scores depend on and `observe` changes."""
        return {"bank": self.bank}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replaces it."""
        self.bank, self._top = state["bank"], None

    def __call__(self, embeddings: Tensor, index: Tensor) -> Tensor:
        """Computes a smoothed number of failing queries, up to a constant per image that it cannot change."""
        if self._top is None:
            self._top = self._find_top()
        positives, negatives = self._top
        with torch.no_grad():
            similarity = embeddings @ self.queries.t()
            own = self._own_queries.of(index)
            mine = similarity.gather(1, own.columns)
            # The image may be the best negative of other classes' queries, or the best positive of its own's.
            others = negatives.of_others(index.unsqueeze(1))
            failing, slopes = self._smooth_step(similarity, others, positives.similarity[0].clamp_min(FAR))
            others = positives.of_others(index.unsqueeze(1), own.columns)
            succeeding, own_slopes = self._smooth_step(mine, others, negatives.similarity[0][own.columns])
            own.write(failing, -(succeeding * own.positive))
            failures = failing.sum(1)
            if embeddings.requires_grad:
                own.write(slopes, -(own_slopes * own.positive))
                gradient = slopes @ self.queries
        if embeddings.requires_grad:
            failures = with_gradient(failures, embeddings, gradient)
        return failures if self._in_gallery is None else failures * self._in_gallery[index]

    def _smooth_step(self, similarity: Tensor, other: Tensor, rival: Tensor) -> tuple[Tensor, Tensor]:
        """Computes a sigmoid of how far the smooth maximum of two similarities exceeds that of a rival.

        Args:
            similarity: to the image, shape (b, q).
            other: to the best other image of its kind, broadcastable to (b, q).
            rival: to the best image of the other kind, broadcastable to (b, q).

        Returns:
            sigmoid((T log(exp(similarity / T) + exp(other / T)) - rival) / T) with T the temperature, and its
            derivative with respect to the similarity, shape (b, q) each.
        """
        mine, its = (
            ((value - rival) / self.temperature).clamp_max_(SATURATED).exp_() for value in (similarity, other)
        )
        total = its + mine
        rest = (1 + total).reciprocal_()
        return total.mul_(rest), mine.mul_(rest).mul_(rest).div_(self.temperature)

    def _find_top(self) -> tuple[_TopTwo, _TopTwo]:
        """Finds each query's two most similar positives, and its two most similar negatives."""
        bank, parts = self.bank[self.gallery_indices], []
        chunks = zip(self.query_indices.split(CHUNK), self.queries.split(CHUNK), strict=True)
        for query_indices, queries in chunks:
            similarity = queries @ bank.t()
            own = self._own_gallery.of(query_indices)
            candidates = F.pad(own.positives(similarity, -torch.inf), (0, 1), value=-torch.inf)
            positives, best = candidates.topk(2, dim=1)
            best = own.columns.gather(1, best.clamp_max(own.columns.shape[1] - 1))
            own.write(similarity, -torch.inf)
            negatives, worst = similarity.topk(2, dim=1)
            parts.append((positives, self.gallery_indices[best], negatives, self.gallery_indices[worst]))
        first, second, third, fourth = (torch.cat(part).t() for part in zip(*parts, strict=True))
        return _TopTwo(first, second), _TopTwo(third, fourth)


@OBJECTIVES.register("gallery_away")
class GalleryAway(Objective):
    """The number of clean queries that fail on the attacked gallery, as far as the image affects it.

    A query q fails when max cos(q, negatives) reaches max cos(q, positives). Both are taken in the gallery of
    the previous step, with z in the image's own place and a smooth maximum, and failures are counted by a
    sigmoid of the margin. So an image moves towards those queries of other classes that it can nearly defeat,
    and away from those of its own class that it still answers; queries far from the margin have little
    weight. On robust models this lowers Recall@1 by several points more than the mean similarities do. From
    step to step the count becomes sharper: what nearly fails is to fail in the end.

    Attributes:
        temperature: of the sigmoid and of the smooth maximum at the first step, in units of the pool's
            typical gap of cosines (`Problem.cosine_gap`).
        cooling: the temperature falls towards this fraction of it, 1 / cooling, in the same ratio at each
            step; 1 for a constant one.
    """

    pooled: ClassVar[bool] = True
    scenarios: ClassVar[tuple[str, ...]] = ("retrieval-gallery",)

    temperature: PositiveFloat = 0.14
    cooling: PositiveFloat = 5.0

    def bind(self, problem: Problem) -> GalleryScore:
        """Returns the score, with a bank that starts at the clean embeddings."""
        return GalleryScore(problem, self.temperature, self.cooling)
