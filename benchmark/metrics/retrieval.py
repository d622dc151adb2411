"""Recall@K, mAP@R and R-precision by cosine similarity, with ties counted against the query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.core.errors import BenchmarkError
from benchmark.metrics.ties import TIE_TOLERANCE

RECALL_KS = (1, 2, 4, 8)
"""The protocol's K of Recall@K."""


@dataclass(frozen=True, eq=False)
class RetrievalOutcomes:
    """The metrics of each query, on the CPU. Two attacks on the same queries and gallery have the same rows.

    Attributes:
        recall: for each K, whether each kept query has a positive within rank K; bool, shape (q_valid,).
        map_r: average precision at R of each kept query, in [0, 1]; float64, shape (q_valid,).
        r_precision: share of positives among the R nearest of each kept query, likewise; at least `map_r`.
        kept: the indices, ascending, of the queries with a positive in the gallery; int64, (q_valid,).
        left_out: the number of queries without one.
    """

    recall: dict[int, Tensor]
    map_r: Tensor
    r_precision: Tensor
    kept: Tensor
    left_out: int

    def means(self) -> dict[str, float]:
        """Averages `r1`, `r2`, ..., `map_r` and `r_precision` over the kept queries; each in [0, 1].

        Raises:
            BenchmarkError: when no query was kept.
        """
        if not len(self.kept):
            raise BenchmarkError(
                f"Retrieval: none of the {self.left_out} queries has a positive in the gallery."
            )
        recalls = {f"r{k}": float(right.double().mean()) for k, right in self.recall.items()}
        return {
            **recalls,
            "map_r": float(self.map_r.mean()),
            "r_precision": float(self.r_precision.mean()),
        }


@torch.no_grad()
def retrieve(
    queries: Tensor,
    gallery: Tensor,
    query_labels: Tensor,
    gallery_labels: Tensor,
    query_ids: Tensor,
    gallery_ids: Tensor,
    ks: Sequence[int] = RECALL_KS,
    chunk: int = 256,
) -> RetrievalOutcomes:
    """Ranks the gallery for each query by cosine similarity; computes Recall@K, mAP@R and R-precision.

    For self-retrieval, pass the same images as queries and gallery. Gallery entries with the query's own id
    are excluded; a positive is any other entry with its label, a negative any entry with another label.
    The j-th nearest positive has rank j + the number of negatives at least as similar. Ties count against the
    query, and similarities within `TIE_TOLERANCE` are tied, so that a constant embedding scores 0 where there
    are at least as many negatives as K and R. Recall@K is 1 for a query whose nearest positive has rank <= K,
    and 0 otherwise. mAP@R (Musgrave et al. 2020) is the mean over i = 1..R of precision at i where rank i
    holds a positive and 0 where it does not, with R the number of the query's positives. R-precision is the
    share of the ranks 1..R that hold a positive.

    Args:
        queries: embeddings, shape (q, d), floating point, on any device; normalized to unit length here.
        gallery: embeddings, shape (g, d).
        query_labels: integer classes, shape (q,).
        gallery_labels: integer classes, shape (g,).
        query_ids: integers that identify the images, shape (q,).
        gallery_ids: integers that identify the images, shape (g,), in the same numbering.
        ks: the K of Recall@K, each at least 1.
        chunk: the number of queries compared with the gallery at a time. Memory grows with chunk x g; the
            results do not depend on it.

    Returns:
        The outcomes of the queries that have a positive, and the number of those that have none.

    Raises:
        BenchmarkError: when shapes do not fit, a K or the chunk is below 1, or an embedding is not finite.
    """
    _check("query", queries, query_labels, query_ids)
    _check("gallery", gallery, gallery_labels, gallery_ids)
    if queries.shape[1] != gallery.shape[1]:
        raise BenchmarkError(
            f"Retrieval: queries have {queries.shape[1]} dimensions, the gallery {gallery.shape[1]}."
        )
    if not ks or min(ks) < 1 or chunk < 1:
        raise BenchmarkError(f"Retrieval: ks={tuple(ks)} and chunk={chunk} must be 1 or more.")

    # Apple's GPUs have no float64.
    device = torch.device("cpu") if queries.device.type == "mps" else queries.device
    reference = _unit(gallery.to(device))
    reference_labels, reference_ids = gallery_labels.to(device), gallery_ids.to(device)
    best_ranks, average_precisions, r_precisions, counts = [], [], [], []
    for start in range(0, len(queries), chunk):
        part = slice(start, start + chunk)
        similarity = _unit(queries[part].to(device)) @ reference.T
        same = query_labels[part].to(device)[:, None] == reference_labels
        own = query_ids[part].to(device)[:, None] == reference_ids
        positive = same & ~own
        count = positive.sum(1, dtype=torch.int32).long()
        most = max(1, int(count.max()))
        positives = similarity.masked_fill(~positive, float("-inf")).topk(most).values - TIE_TOLERANCE
        negatives = similarity.masked_fill_(same | own, float("-inf"))
        ranks = _ranks(positives, negatives.topk(most).values)
        best_ranks.append(1 + (negatives >= positives[:, :1]).sum(1, dtype=torch.int32).cpu())
        average_precisions.append(_average_precision_at_r(ranks, count).cpu())
        r_precisions.append(((ranks <= count[:, None]).sum(1).double() / count.clamp(min=1)).cpu())
        counts.append(count.cpu())

    best_rank, map_r, r_precision, count = map(
        torch.cat, (best_ranks, average_precisions, r_precisions, counts)
    )
    kept = count.nonzero()[:, 0]
    return RetrievalOutcomes(
        recall={k: best_rank[kept] <= k for k in ks},
        map_r=map_r[kept],
        r_precision=r_precision[kept],
        kept=kept,
        left_out=len(queries) - len(kept),
    )


def _ranks(positives: Tensor, negatives: Tensor) -> Tensor:
    """Computes the ranks of each query's positives, int64, shape (c, p); those above p are not exact.

    Args:
        positives: similarities minus `TIE_TOLERANCE`, descending, shape (c, p), where p is the largest number
            of positives. Where a query has fewer, the rest are -inf, and their ranks exceed its number of
            positives.
        negatives: similarities of the p nearest negatives, descending, shape (c, p), padded with -inf too.
    """
    most = positives.shape[1]
    below = torch.searchsorted(negatives.flip(1).contiguous(), positives)
    return most - below + torch.arange(1, most + 1, device=positives.device)


def _average_precision_at_r(ranks: Tensor, count: Tensor) -> Tensor:
    """Computes mAP@R of each query, float64, shape (c,), from its positives' ranks, (c, p), and R, (c,)."""
    found = torch.arange(1, ranks.shape[1] + 1, device=ranks.device).double()
    precision = torch.where(ranks <= count[:, None], found / ranks, 0.0)
    return precision.sum(1) / count.clamp(min=1)


def _unit(embeddings: Tensor) -> Tensor:
    return F.normalize(embeddings.double(), dim=1)


def _check(side: str, embeddings: Tensor, labels: Tensor, ids: Tensor) -> None:
    if embeddings.ndim != 2 or not len(embeddings):
        raise BenchmarkError(
            f"Retrieval: {side} embeddings have shape {tuple(embeddings.shape)}, expected (n, d)."
        )
    if labels.shape != embeddings.shape[:1] or ids.shape != embeddings.shape[:1]:
        raise BenchmarkError(
            f"Retrieval: {len(embeddings)} {side} embeddings with labels of shape {tuple(labels.shape)} "
            f"and ids of shape {tuple(ids.shape)}."
        )
    broken = int((~embeddings.isfinite()).any(dim=1).sum())
    if broken:
        raise BenchmarkError(
            f"Retrieval: {broken} of {len(embeddings)} {side} embeddings hold NaN or infinity."
        )
