"""Objective: failures of Recall@1 on an attacked gallery."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat
from torch import Tensor

from attacks.objectives.base import OBJECTIVES, Objective
from attacks.problem import Problem

CHUNK = 1024
"""Queries compared with the gallery at a time; memory grows with it times the pool."""


class _TopTwo(NamedTuple):
    """The two gallery images most similar to each query, of one kind (positives or negatives).

    Attributes:
        similarity: their cosines, shape (2, q).
        indices: their indices in the pool, shape (2, q).
    """

    similarity: Tensor
    indices: Tensor


class GalleryScore:
    """The score against a bank of the latest attacked embedding of each image."""

    def __init__(self, problem: Problem, temperature: float) -> None:
        whole = problem.queries is None
        self.query_indices = problem.all_indices if whole else problem.all_indices[problem.queries]
        self.queries = problem.clean if whole else problem.clean[self.query_indices]
        self.gallery_indices = None if whole else problem.gallery
        self.bank = problem.clean.clone()
        self.labels = problem.labels
        self.temperature = temperature * problem.cosine_std
        self._top: tuple[_TopTwo, _TopTwo] | None = None

    def observe(self, index: Tensor, embeddings: Tensor) -> None:
        """Records the current embeddings of the images at `index`."""
        self.bank[index] = F.normalize(embeddings.detach())
        self._top = None

    def __call__(self, embeddings: Tensor, index: Tensor) -> Tensor:
        """Computes a smoothed number of failing queries, up to a constant per image that it cannot change."""
        if self._top is None:
            self._top = self._find_top()
        positives, negatives = self._top
        similarity = embeddings @ self.queries.t()
        same = self.labels[index].unsqueeze(1) == self.labels[self.query_indices]
        itself = index.unsqueeze(1) == self.query_indices
        # The image may be the best negative of other classes' queries, or the best positive of its own's.
        negative = self._smooth_best(similarity, negatives, index)
        positive = self._smooth_best(similarity, positives, index)
        failing = torch.sigmoid((negative - positives.similarity[0]) / self.temperature)
        succeeding = torch.sigmoid((positive - negatives.similarity[0]) / self.temperature)
        failures = (failing * ~same).sum(1) - (succeeding * (same & ~itself)).sum(1)
        if self.gallery_indices is None:
            return failures
        # Images that are queries only change nothing.
        return failures * torch.isin(index, self.gallery_indices)

    def _smooth_best(self, similarity: Tensor, top: _TopTwo, index: Tensor) -> Tensor:
        """Computes a smooth maximum of each similarity and the best one of another image, shape (b, q)."""
        itself = top.indices[0] == index.unsqueeze(1)
        other = torch.where(itself, top.similarity[1], top.similarity[0])
        return self.temperature * torch.logaddexp(similarity / self.temperature, other / self.temperature)

    def _find_top(self) -> tuple[_TopTwo, _TopTwo]:
        """Finds each query's two most similar positives, and its two most similar negatives."""
        indices = self.query_indices if self.gallery_indices is None else self.gallery_indices
        bank = self.bank if self.gallery_indices is None else self.bank[indices]
        parts = []
        chunks = zip(self.query_indices.split(CHUNK), self.queries.split(CHUNK), strict=True)
        for query_indices, queries in chunks:
            similarity = queries @ bank.t()
            same = self.labels[query_indices].unsqueeze(1) == self.labels[indices]
            itself = query_indices.unsqueeze(1) == indices
            positives, best = similarity.masked_fill(~same | itself, -torch.inf).topk(2, dim=1)
            negatives, worst = similarity.masked_fill(same, -torch.inf).topk(2, dim=1)
            parts.append((positives, indices[best], negatives, indices[worst]))
        first, second, third, fourth = (torch.cat(part).t() for part in zip(*parts, strict=True))
        return _TopTwo(first, second), _TopTwo(third, fourth)


@OBJECTIVES.register("gallery_away")
class GalleryAway(Objective):
    """The number of clean queries that fail on the attacked gallery, as far as the image affects it.

    A query q fails when max cos(q, negatives) reaches max cos(q, positives). Both are taken in the gallery of
    the previous step, with z in the image's own place and a smooth maximum, and failures are counted by a
    sigmoid of the margin. So an image moves towards those queries of other classes that it can nearly defeat,
    and away from those of its own class that it still answers; queries far from the margin have little
    weight. On robust models this lowers Recall@1 by several points more than the mean similarities do.

    Attributes:
        temperature: of the sigmoid and of the smooth maximum, in units of the standard deviation of the
            pool's cosines.
    """

    pooled: ClassVar[bool] = True
    scenarios: ClassVar[tuple[str, ...]] = ("retrieval-gallery",)

    temperature: PositiveFloat = 0.14

    def bind(self, problem: Problem) -> GalleryScore:
        """Returns the score, with a bank that starts at the clean embeddings."""
        return GalleryScore(problem, self.temperature)
