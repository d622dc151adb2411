"""The gallery's side of Recall@1."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat
from torch import Tensor

from attacks.objectives.base import OBJECTIVES, Objective
from attacks.problem import Problem

CHUNK = 1024
"""Queries compared with the gallery at a time; memory grows with it times the pool."""


class GalleryScore:
    """The score against a bank of attacked embeddings, each the latest that was seen of its image."""

    def __init__(self, problem: Problem, temperature: float) -> None:
        whole = problem.queries is None
        self.asking = problem.all_indices if whole else problem.all_indices[problem.queries]
        self.queries = problem.clean if whole else problem.clean[self.asking]
        self.gallery = None if whole else problem.gallery
        self.bank = problem.clean.clone()
        self.labels = problem.labels
        self.temperature = temperature * problem.cosine_std
        self._rivals: tuple[Tensor, Tensor, Tensor, Tensor] | None = None

    def observe(self, index: Tensor, embeddings: Tensor) -> None:
        """Notes where images, by index in the pool, now are."""
        self.bank[index] = F.normalize(embeddings.detach())
        self._rivals = None

    def __call__(self, embeddings: Tensor, index: Tensor) -> Tensor:
        """The number of queries that fail for each image, smoothed, up to what it has no part in."""
        if self._rivals is None:
            self._rivals = self._find_rivals()
        positives, positive_places, negatives, negative_places = self._rivals
        similarity = embeddings @ self.queries.t()
        same = self.labels[index].unsqueeze(1) == self.labels[self.asking]
        itself = index.unsqueeze(1) == self.asking
        # Of other classes' queries it would be the best negative, of its own class's the best positive.
        negative = self._best(similarity, negatives, negative_places, index)
        positive = self._best(similarity, positives, positive_places, index)
        hit = torch.sigmoid((negative - positives[0]) / self.temperature)
        found = torch.sigmoid((positive - negatives[0]) / self.temperature)
        failures = (hit * ~same).sum(1) - (found * (same & ~itself)).sum(1)
        if self.gallery is None:
            return failures
        return failures * torch.isin(index, self.gallery)  # an image that only queries has no say

    def _best(self, similarity: Tensor, rivals: Tensor, places: Tensor, index: Tensor) -> Tensor:
        """The smooth maximum of each similarity and the best rival that is not the image itself, (b, q)."""
        rival = torch.where(places[0] == index.unsqueeze(1), rivals[1], rivals[0])
        return self.temperature * torch.logaddexp(similarity / self.temperature, rival / self.temperature)

    def _find_rivals(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Each query's two most similar positives and where they are, (2, q) each; then its negatives'."""
        places = self.asking if self.gallery is None else self.gallery
        bank = self.bank if self.gallery is None else self.bank[places]
        parts = []
        for queries, clean in zip(self.asking.split(CHUNK), self.queries.split(CHUNK), strict=True):
            similarity = clean @ bank.t()
            same = self.labels[queries].unsqueeze(1) == self.labels[places]
            itself = queries.unsqueeze(1) == places
            positives, best = similarity.masked_fill(~same | itself, -torch.inf).topk(2, dim=1)
            negatives, worst = similarity.masked_fill(same, -torch.inf).topk(2, dim=1)
            parts.append((positives, places[best], negatives, places[worst]))
        first, second, third, fourth = (torch.cat(part).t() for part in zip(*parts, strict=True))
        return first, second, third, fourth


@OBJECTIVES.register("gallery_away")
class GalleryAway(Objective):
    """The number of clean queries that fail on the attacked gallery, as far as an image of it has a say.

    A query q fails when max cos(q, negatives) reaches max cos(q, positives). Both are taken in the gallery as
    the step before left it, with z in the image's own place and a smooth maximum, and failures are counted by
    a sigmoid of the margin. So an image is drawn to those queries of other classes that it can nearly win,
    and away from those of its own class that it still answers; those lost or safe have little weight.
    On robust models this lowers Recall@1 by several points more than the mean similarities do.

    Attributes:
        temperature: of the sigmoid and of the smooth maximum, in units of the spread of the pool's cosines.
    """

    pooled: ClassVar[bool] = True
    scenarios: ClassVar[tuple[str, ...]] = ("retrieval-gallery",)

    temperature: PositiveFloat = 0.14

    def bind(self, problem: Problem) -> GalleryScore:
        """The score with a bank that starts at the clean embeddings."""
        return GalleryScore(problem, self.temperature)
