"""Ranks by cosine similarity, with ties counted separately, so that any rule for ties can be applied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.core.errors import BenchmarkError
from benchmark.metrics.ties import TIE_TOLERANCE


@dataclass(frozen=True, eq=False)
class RankCounts:
    """The rank of one gallery item per query, as counts of its competitors; int64 tensors of shape (n,).

    Attributes:
        nearer: the number of competitors more similar to the query than the item by over `TIE_TOLERANCE`.
        tied: the number of competitors whose similarity is within `TIE_TOLERANCE` of the item's.
        competitors: the number of competitors.
    """

    nearer: Tensor
    tied: Tensor
    competitors: Tensor

    def percentile_rank(self, tie_weight: float) -> Tensor:
        """Computes the share of competitors ahead of the item, in [0, 1], float64, shape (n,).

        Args:
            tie_weight: the weight of a tied competitor: 0, 1, or 0.5 for the mean over the orders in which a
                sort may leave ties.
        """
        return (self.nearer + tie_weight * self.tied).double() / self.competitors.clamp_min(1)

    def in_top_k(self, k: int, random_ties: bool) -> Tensor:
        """Computes whether the item is among the first k, float64 in [0, 1], shape (n,).

        Args:
            k: at least 1.
            random_ties: returns the probability under a random order of ties; otherwise all tied competitors
                precede the item.
        """
        if not random_ties:
            return (self.nearer + self.tied < k).double()
        return ((k - self.nearer).double() / (self.tied + 1)).clamp(0.0, 1.0)


def pair_similarity(first: Tensor, second: Tensor) -> Tensor:
    """Computes cosines of corresponding rows, shapes (n, d) to (n,), float64.

    Raises:
        BenchmarkError: when an embedding is not finite.
    """
    return (_unit(first) * _unit(second)).sum(1)


@torch.no_grad()
def rank_counts(
    queries: Tensor, gallery: Tensor, item_similarity: Tensor, excluded: Tensor, chunk: int = 256
) -> RankCounts:
    """Counts the gallery images that are nearer to each query than a given item, and those tied with it.

    Args:
        queries: embeddings, shape (n, d), floating point; normalized to unit length here.
        gallery: embeddings, shape (g, d).
        item_similarity: each query's similarity to its item, from `pair_similarity`, shape (n,).
        excluded: distinct gallery indices that are no competitors for each query (the query's own image, the
            item itself), int64, shape (n, e).
        chunk: queries compared at a time; the result does not depend on it.

    Raises:
        BenchmarkError: when an embedding is not finite.
    """
    reference = _unit(gallery)
    nearer, tied = [], []
    for start in range(0, len(queries), chunk):
        part = slice(start, start + chunk)
        cosines = (_unit(queries[part]) @ reference.T).scatter(1, excluded[part], -torch.inf)
        item = item_similarity[part].unsqueeze(1)
        above, level = _compare(cosines, item)
        nearer.append(above.sum(1))
        tied.append(level.sum(1))
    competitors = torch.full((len(queries),), len(gallery) - excluded.shape[1], dtype=torch.int64)
    return RankCounts(torch.cat(nearer), torch.cat(tied), competitors)


@torch.no_grad()
def short_range_correlation(
    queries: Tensor,
    gallery: Tensor,
    order: Tensor,
    visible: int | None = None,
    ties: Literal["concordant", "random"] = "concordant",
) -> Tensor:
    """Computes the short-range rank correlation of a wanted order and each query's (arXiv 2103.05248).

    The mean over the pairs of items: 1 where the pair is in the wanted order, -1 where it is not or where one
    of the two is not among the first `visible` of the query's ranking. If all are, it is Kendall's tau.

    Args:
        queries: embeddings, shape (n, d), floating point; normalized to unit length here. Query i is gallery
            image i, and never in its own ranking.
        gallery: embeddings of the same images, shape (n, d), in the same order.
        order: distinct gallery indices for each query, at least two, none its own; the first is to be the
            most similar. int64, shape (n, k).
        visible: length of the ranking that is seen; all of it when not given.
        ties: "concordant" counts a tied pair as in the wanted order, and competitors tied with an item as
            behind it; "random" is about the mean over the orders of ties: 0 for a pair, and half the
            competitors ahead.

    Returns:
        In [-1, 1], float64, shape (n,).

    Raises:
        BenchmarkError: when an embedding is not finite.
    """
    similarity = torch.stack([pair_similarity(queries, gallery[items]) for items in order.unbind(1)], dim=1)
    gaps = similarity.unsqueeze(2) - similarity.unsqueeze(1)
    tied = 1.0 if ties == "concordant" else 0.0
    values = torch.where(gaps.abs() <= TIE_TOLERANCE, tied, gaps.sign())
    if visible is not None:
        share = 0.0 if ties == "concordant" else 0.5
        own = torch.arange(len(queries))
        seen = []
        for place, items in enumerate(order.unbind(1)):
            counts = rank_counts(queries, gallery, similarity[:, place], torch.stack([own, items], dim=1))
            seen.append(counts.nearer + share * counts.tied < visible)
        both = torch.stack(seen, dim=1)
        values = torch.where(both.unsqueeze(2) & both.unsqueeze(1), values, -1.0)
    first, second = torch.triu_indices(order.shape[1], order.shape[1], 1)
    return values[:, first, second].mean(1)


@torch.no_grad()
def top1_is_positive(
    queries: Tensor, gallery: Tensor, labels: Tensor, random_ties: bool, chunk: int = 256
) -> Tensor:
    """Computes whether the most similar other image has the query's class; query i is gallery image i.

    Args:
        queries: embeddings, shape (n, d), floating point; normalized to unit length here.
        gallery: embeddings of the same images, shape (n, d), in the same order.
        labels: classes, shape (n,).
        random_ties: returns the probability under a random order of ties; otherwise ties count against the
            query, as in `retrieve`.
        chunk: queries compared at a time; the result does not depend on it.

    Returns:
        float64 in [0, 1], for the queries that have a positive, in their order.

    Raises:
        BenchmarkError: when no query has a positive, or an embedding is not finite.
    """
    reference = _unit(gallery)
    all_indices = torch.arange(len(labels))
    correct = []
    for index in all_indices.split(chunk):
        cosines = _unit(queries[index]) @ reference.T
        same = labels[index].unsqueeze(1) == labels
        positive = same & (index.unsqueeze(1) != all_indices)
        best = cosines.masked_fill(~positive, -torch.inf).amax(1, keepdim=True)
        above, level = _compare(cosines, best)
        tied_positives = (level & positive).sum(1).double()
        nearer, tied = (above & ~same).sum(1), (level & ~same).sum(1)
        probability = tied_positives / (tied_positives + tied) if random_ties else (tied == 0).double()
        correct.append(torch.where(nearer == 0, probability, 0.0)[positive.any(1)])
    found = torch.cat(correct)
    if not len(found):
        raise BenchmarkError(f"Ranking: none of the {len(queries)} queries has a positive in the gallery.")
    return found


@torch.no_grad()
def first_result_share(
    clean: Tensor, attacked: Tensor, labels: Tensor, tie_weight: float, chunk: int = 256
) -> Tensor:
    """Computes, for each image, the share of the other classes' queries that retrieve it first.

    Each image is attacked on its own: in the gallery of its queries all other images are clean.

    Args:
        clean: embeddings of the clean pool, whose images query each other, shape (n, d), floating point.
        attacked: embeddings of the attacked images, shape (n, d).
        labels: classes, shape (n,).
        tie_weight: the weight of a query that it is tied with the best other image for.
        chunk: queries compared at a time; the result does not depend on it.

    Returns:
        In [0, 1], float64, shape (n,); 0 where there are no other classes.

    Raises:
        BenchmarkError: when an embedding is not finite, or the pool has fewer than three images.
    """
    if len(clean) < 3:
        raise BenchmarkError(f"Ranking: hubs need a pool of three images, not {len(clean)}.")
    reference, hubs = _unit(clean), _unit(attacked)
    pool = torch.arange(len(labels))
    first = torch.zeros(len(labels), dtype=torch.float64)
    for index in pool.split(chunk):
        others = (reference[index] @ reference.T).masked_fill(index.unsqueeze(1) == pool, -torch.inf)
        best, where = others.topk(2, dim=1)
        rival = torch.where(where[:, :1] == pool, best[:, 1:], best[:, :1])
        above, level = _compare(reference[index] @ hubs.T, rival)
        foreign = labels[index].unsqueeze(1) != labels
        first += ((above + tie_weight * level.double()) * foreign).sum(0)
    count = (labels.unsqueeze(1) != labels).sum(0)
    return first / count.clamp_min(1)


def _compare(similarity: Tensor, item: Tensor) -> tuple[Tensor, Tensor]:
    """Computes where similarities are above an item's and where they are tied with it."""
    above = similarity > item + TIE_TOLERANCE
    return above, (similarity >= item - TIE_TOLERANCE) & ~above


def _unit(embeddings: Tensor) -> Tensor:
    if not embeddings.isfinite().all():
        raise BenchmarkError("Similarity: embeddings hold NaN or infinity.")
    return F.normalize(embeddings.double(), dim=1)
