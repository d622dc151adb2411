"""Objective: become a hub, an image that is near to many queries of other classes."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from attacks.objectives.base import OBJECTIVES, Objective, Score
from attacks.problem import Problem
from benchmark.core.seeding import noise_per_image

CHUNK = 256
"""Images compared with the queries at a time."""


def target_queries(
    clean: Tensor, labels: Tensor, ids: Tensor, queries: Tensor, count: int, near: bool, *parts: object
) -> Tensor:
    """Chooses queries of other classes for each image, all different.

    Drawn ones have equal probability: each image gets one position on a circle as a query and one as a hub,
    and a hub draws the queries that follow its own position. So a draw depends on ids and `parts`, and not on
    the order of the pool.

    Args:
        clean: embeddings of the clean pool, unit vectors, shape (n, d).
        labels: classes, shape (n,).
        ids: ids of the images, shape (n,), on the CPU.
        queries: indices of the queries in the pool, shape (q,).
        count: number of queries for each image; fewer where some image has fewer of other classes.
        near: whether they are the most similar ones, in place of drawn ones.
        parts: what else a draw depends on.

    Returns:
        Indices in the pool, shape (n, k), on the embeddings' device.
    """
    largest = int(torch.bincount(labels[queries]).max())
    count = max(1, min(count, len(queries) - largest))
    positions, own = noise_per_image((2,), ids, "hub", *parts).to(clean.device).unbind(1)
    chosen = []
    for index in torch.arange(len(labels), device=clean.device).split(CHUNK):
        if near:
            worth = clean[index] @ clean[queries].t()
        else:
            worth = -((positions[queries] - own[index].unsqueeze(1)) % 2)
        same = labels[index].unsqueeze(1) == labels[queries]
        chosen.append(queries[worth.masked_fill(same, -torch.inf).topk(count, dim=1).indices])
    return torch.cat(chosen)


@OBJECTIVES.register("hub")
class Hub(Objective):
    """Mean cos(z, clean queries of other classes): adversarial hubs (Zhang et al. 2024, arXiv 2412.14113).

    The paper attacks one image of a clean gallery, so that it is the first result of many queries that have
    nothing to do with it; its target queries are drawn at random. That they are of other classes is our
    adaptation: it has no classes. Here every image of the gallery becomes a hub at once. Its own measure is
    `robrank[measure=hub]`.

    Attributes:
        queries: number of target queries of each image.
        near: whether they are the nearest ones, which are about one concept, in place of drawn ones. The
            paper's hubs of a concept are for the queries about a word.
        seed: of their draw.
    """

    capturable: ClassVar[bool] = True
    scenarios: ClassVar[tuple[str, ...]] = ("retrieval-gallery",)

    queries: PositiveInt = 100
    near: bool = False
    seed: NonNegativeInt = 0

    def bind(self, problem: Problem) -> Score:
        """Returns the score against the mean of each image's target queries."""
        queries = problem.all_indices if problem.queries is None else problem.all_indices[problem.queries]
        chosen = target_queries(
            problem.clean, problem.labels, problem.ids, queries, self.queries, self.near, self.seed
        )
        # The mean cosine to some embeddings is the product with their mean.
        targets = F.embedding_bag(chosen, problem.clean, mode="mean")

        def score(embeddings: Tensor, index: Tensor) -> Tensor:
            return (embeddings * targets[index]).sum(1)

        return score
