"""Adjusted mutual information where classes and clusters are many: one term for each pair of *sizes*."""

from __future__ import annotations

from math import lgamma
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import mutual_info_score


def adjusted_mutual_information(table: Any) -> float:
    """AMI = (MI - E[MI]) / (mean of the two entropies - E[MI]) (Vinh et al. 2010, with the arithmetic mean).

    The same figure as scikit-learn's `adjusted_mutual_info_score`, but for the rounding of sums. That one
    visits every class with every cluster, 128 million pairs for Stanford Online Products.

    Args:
        table: sparse matrix of integers, how many points each class (row) shares with each cluster (column);
            no row and no column is empty.

    Returns:
        At most 1, up to rounding; 1 for one class in one cluster, 0 where only one side is undivided.
    """
    classes, clusters = (np.asarray(table.sum(axis=axis)).ravel() for axis in (1, 0))
    if len(classes) == 1 or len(clusters) == 1:
        return float(len(classes) == len(clusters))
    expected = expected_mutual_information(classes, clusters)
    shared = float(mutual_info_score(None, None, contingency=table)) - expected
    most = (_entropy(classes) + _entropy(clusters)) / 2 - expected
    # Where chance alone attains the most there is, as when every point is a class of its own, both are 0 up
    # to rounding; as in scikit-learn, their quotient is then that of the smallest numbers with their signs.
    return float(_away_from_zero(shared) / _away_from_zero(most))


def expected_mutual_information(classes: NDArray[Any], clusters: NDArray[Any]) -> float:
    """The mean mutual information of random partitions of these sizes (Vinh et al. 2010, eq. 24).

    Over all classes of size a and clusters of size b among N points, and all n > 0 that they may share:

        E[MI] = sum of n / N * log(N n / (a b)) * P(n),
        P(n) = a! b! (N-a)! (N-b)! / (N! n! (a-n)! (b-n)! (N-a-b+n)!),

    the hypergeometric probability. A term depends on the two sizes alone, and different sizes are few (at
    most the root of 2 N on each side), so each pair of sizes is reckoned once and counted as often as it
    occurs.

    Args:
        classes: the size of each class, positive integers, shape (r,).
        clusters: the size of each cluster, positive integers with the same sum, shape (c,).

    Returns:
        In nats, at least 0.
    """
    total = int(classes.sum())
    ours, our_times = np.unique(classes, return_counts=True)
    theirs, their_times = np.unique(clusters, return_counts=True)
    factorial = np.fromiter(map(lgamma, range(1, total + 2)), np.float64)  # logarithms
    expected = 0.0
    for a, times in zip(ours.tolist(), our_times.tolist(), strict=True):
        shared = np.arange(1, min(a, int(theirs[-1])) + 1)[:, None]
        possible = (shared <= theirs) & (shared >= a + theirs - total)
        n, b = np.where(possible, shared, np.minimum(a, theirs)), theirs  # masked below
        probability = np.exp(
            factorial[a] + factorial[b] + factorial[total - a] + factorial[total - b] - factorial[total]
            - factorial[n] - factorial[a - n] - factorial[b - n] - factorial[total - a - b + n]
        )  # fmt: skip
        information = n / total * np.log(n / a * (total / b))
        each = (possible * information * probability).sum(axis=0)
        expected += times * float(each @ their_times)
    return expected


def _entropy(sizes: NDArray[Any]) -> float:
    shares = sizes / sizes.sum()
    return float(-(shares * np.log(shares)).sum())


def _away_from_zero(value: float) -> float:
    tiny = float(np.finfo(np.float64).eps)
    return min(value, -tiny) if value < 0 else max(value, tiny)
