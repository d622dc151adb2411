"""Agreement of clusters with classes: AMI, NMI and pairwise F1, as means over k-means seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from benchmark.core.errors import BenchmarkError
from benchmark.core.mutual_information import adjusted_mutual_information
from benchmark.metrics.kmeans import kmeans_assignments

KMEANS_SEEDS = (0, 1, 2, 3, 4)
"""The protocol's k-means seeds: every clustering metric, clean or attacked, is the mean over these."""


def clustering_metrics(labels: Tensor | NDArray[Any], assignments: Tensor | NDArray[Any]) -> dict[str, float]:
    """Compares one assignment to clusters with the classes; the values of either's labels do not matter.

    Args:
        labels: the class of each point, integers, shape (n,), n >= 1.
        assignments: the cluster of each point, integers, shape (n,).

    Returns:
        Fractions, 1 for perfect agreement. `ami`: adjusted mutual information (Vinh et al. 2010), at most
        1, around 0 for random clusters, sometimes slightly below 0. `nmi`: normalised mutual information in
        [0, 1], far from 0 for random small clusters. Both are normalised by the arithmetic mean of the
        entropies. `f1` in [0, 1]: F1 of the pairs in one cluster, with the pairs of one class as the truth
        (Manning et al. 2008, ch. 16); 1 if there are no pairs.

    Raises:
        BenchmarkError: when the shapes do not fit or there is no point.
    """
    from sklearn.metrics import normalized_mutual_info_score

    classes, clusters = _one_dimensional(labels), _one_dimensional(assignments)
    if classes.shape != clusters.shape:
        raise BenchmarkError(f"Clustering: {len(classes)} labels for {len(clusters)} assignments.")
    if not len(classes):
        raise BenchmarkError("Clustering: there are no points to score.")
    return {
        "ami": adjusted_mutual_information(classes, clusters),
        "nmi": float(normalized_mutual_info_score(classes, clusters, average_method="arithmetic")),
        "f1": _pairwise_f1(classes, clusters),
    }


def _pairwise_f1(labels: NDArray[Any], assignments: NDArray[Any]) -> float:
    from sklearn.metrics.cluster import contingency_matrix

    table = contingency_matrix(labels, assignments, sparse=True, dtype=np.int64)
    both = _pairs(table.data)
    in_class, in_cluster = _pairs(table.sum(axis=1)), _pairs(table.sum(axis=0))
    # The harmonic mean of precision both / in_cluster and recall both / in_class, computed in integers.
    return 2 * both / (in_class + in_cluster) if in_class + in_cluster else 1.0


def cluster(
    embeddings: Tensor | NDArray[Any], k: int, seeds: Sequence[int] = KMEANS_SEEDS
) -> NDArray[np.int32]:
    """Clusters the embeddings once for each seed.

    Args:
        embeddings: shape (n, d), floating point, on any device.
        k: the number of clusters, from 1 to n; the number of classes in the pool under the protocol.
        seeds: k-means seeds, s of them.

    Returns:
        The cluster of each point under each seed, shape (s, n), in [0, k).

    Raises:
        BenchmarkError: as `kmeans_assignments` does.
    """
    return kmeans_assignments(embeddings, k, seeds)


def mean_clustering_metrics(
    labels: Tensor | NDArray[Any], assignments: Tensor | NDArray[Any]
) -> dict[str, float]:
    """Computes `clustering_metrics` for each k-means seed and averages each metric over the seeds.

    Args:
        labels: the class of each point, integers, shape (n,).
        assignments: the cluster of each point under each seed, shape (s, n), s >= 1.

    Returns:
        `ami`, `nmi` and `f1` as in `clustering_metrics`, each the mean over the s seeds.

    Raises:
        BenchmarkError: when the shapes do not fit.
    """
    if assignments.ndim != 2 or not len(assignments):
        raise BenchmarkError(
            f"Clustering: assignments have shape {tuple(assignments.shape)}, expected (seeds, n)."
        )
    scores = [clustering_metrics(labels, row) for row in assignments]
    return {name: float(np.mean([score[name] for score in scores])) for name in scores[0]}


def _one_dimensional(values: Tensor | NDArray[Any]) -> NDArray[Any]:
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    if array.ndim != 1:
        raise BenchmarkError(f"Clustering: labels have shape {tuple(array.shape)}, expected (n,).")
    return array


def _pairs(sizes: NDArray[np.int64]) -> int:
    """The number of unordered pairs within groups of these sizes."""
    sizes = np.asarray(sizes)
    return int((sizes * (sizes - 1) // 2).sum())
