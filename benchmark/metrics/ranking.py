"""Places in rankings by cosine similarity; ties are kept apart, so that each rule for them can be applied."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.core.errors import BenchmarkError
from benchmark.metrics.ties import rounded


@dataclass(frozen=True, eq=False)
class Places:
    """Where one item stands in each query's ranking; int64 tensors of shape (n,).

    Attributes:
        nearer: how many rivals are strictly more similar to the query.
        level: how many rivals are exactly as similar as the item.
        rivals: how many rivals there are.
    """

    nearer: Tensor
    level: Tensor
    rivals: Tensor

    def share(self, ties: float) -> Tensor:
        """The item's percentile rank: the share of the rivals ahead of it, in [0, 1], float64, shape (n,).

        Args:
            ties: which part of the rivals that are level counts as ahead: 0, 1, or 0.5 for the mean over the
                orders in which a sort may leave them.
        """
        return (self.nearer + ties * self.level).double() / self.rivals.clamp_min(1)

    def within(self, k: int, fair: bool) -> Tensor:
        """Whether the item is among the first k, float64, shape (n,).

        Args:
            k: at least 1.
            fair: for ties the chance under a random order of those that are level; otherwise they all come
                before the item.
        """
        if not fair:
            return (self.nearer + self.level < k).double()
        return ((k - self.nearer).double() / (self.level + 1)).clamp(0.0, 1.0)


def similarity(first: Tensor, second: Tensor) -> Tensor:
    """Cosines of rows in pairs, shapes (n, d) to (n,), rounded as `places` rounds, so that ties are found."""
    return rounded((_unit(first) * _unit(second)).sum(1))


@torch.no_grad()
def places(queries: Tensor, gallery: Tensor, scores: Tensor, absent: Tensor, chunk: int = 256) -> Places:
    """Where an item of given similarity stands among the gallery of each query.

    Args:
        queries: embeddings, shape (n, d); brought to unit length here.
        gallery: embeddings, shape (g, d).
        scores: each query's similarity to its item, from `similarity`, shape (n,).
        absent: distinct indices of the gallery's entries that do not exist for each query (the query's own
            image, the item itself), shape (n, e).
        chunk: queries compared at a time; the result does not depend on it.

    Raises:
        BenchmarkError: when an embedding is not finite.
    """
    reference = _unit(gallery)
    nearer, level = [], []
    for start in range(0, len(queries), chunk):
        part = slice(start, start + chunk)
        cosines = rounded(_unit(queries[part]) @ reference.T).scatter(1, absent[part], -torch.inf)
        bar = scores[part].unsqueeze(1)
        nearer.append((cosines > bar).sum(1))
        level.append((cosines == bar).sum(1))
    rivals = torch.full((len(queries),), len(gallery) - absent.shape[1], dtype=torch.int64)
    return Places(torch.cat(nearer), torch.cat(level), rivals)


@torch.no_grad()
def top_is_right(queries: Tensor, gallery: Tensor, labels: Tensor, fair: bool, chunk: int = 256) -> Tensor:
    """Whether the most similar other image is of the query's class; query i is the gallery's image i.

    Args:
        queries: embeddings, shape (n, d); brought to unit length here.
        gallery: embeddings of the same images, shape (n, d), in the same order.
        labels: classes, shape (n,).
        fair: for ties the chance under a random order; otherwise they count against the query, as `retrieve`
            has it.
        chunk: queries compared at a time; the result does not depend on it.

    Returns:
        float64 in [0, 1], shape (kept,), for the queries that have a positive.

    Raises:
        BenchmarkError: when no query has a positive, or an embedding is not finite.
    """
    reference = _unit(gallery)
    everything = torch.arange(len(labels))
    right = []
    for index in everything.split(chunk):
        cosines = rounded(_unit(queries[index]) @ reference.T)
        same = labels[index].unsqueeze(1) == labels
        positive = same & (index.unsqueeze(1) != everything)
        best = cosines.masked_fill(~positive, -torch.inf).amax(1, keepdim=True)
        peers = ((cosines == best) & positive).sum(1).double()
        nearer, level = ((cosines > best) & ~same).sum(1), ((cosines == best) & ~same).sum(1)
        chance = peers / (peers + level) if fair else (level == 0).double()
        right.append(torch.where(nearer == 0, chance, 0.0)[positive.any(1)])
    found = torch.cat(right)
    if not len(found):
        raise BenchmarkError(f"Ranking: none of the {len(queries)} queries has a positive in the gallery.")
    return found


def _unit(embeddings: Tensor) -> Tensor:
    if not embeddings.isfinite().all():
        raise BenchmarkError("Ranking: embeddings hold NaN or infinity.")
    return F.normalize(embeddings.double(), dim=1)
