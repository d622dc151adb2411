"""AMI computed many times over on parts of one pool."""

from __future__ import annotations

import numpy as np


def fast_ami(labels: np.ndarray, assignments: np.ndarray) -> float:
    """Adjusted mutual information with the arithmetic mean, as scikit-learn defines it.

    Its cost lies in the expected mutual information, a sum over every pair of a class and a cluster. Pairs of
    equal sizes have equal terms, and in a pool of many small classes few sizes occur: summing each pair of
    sizes once makes it several times faster, and a data set of thousands of classes feasible.
    """
    _, classes, rows = np.unique(labels, return_inverse=True, return_counts=True)
    _, clusters, columns = np.unique(assignments, return_inverse=True, return_counts=True)
    pairs, shared = np.unique(classes * len(columns) + clusters, return_counts=True)
    if len(pairs) == len(rows) == len(columns):
        return 1.0  # each class is one cluster
    i, j = np.divmod(pairs, len(columns))
    n = len(labels)
    mutual = float((shared / n * (np.log(shared * float(n)) - np.log(rows[i] * columns[j]))).sum())
    expected = _expected_mutual_information(rows, columns)
    ceiling = (_entropy(rows) + _entropy(columns)) / 2
    spread = ceiling - expected
    smallest = float(np.finfo(np.float64).eps)
    return (mutual - expected) / (min(spread, -smallest) if spread < 0 else max(spread, smallest))


def _entropy(sizes: np.ndarray) -> float:
    shares = sizes / sizes.sum()
    return float(-(shares * np.log(shares)).sum())


def _expected_mutual_information(rows: np.ndarray, columns: np.ndarray) -> float:
    """The mean mutual information of random partitions with these sizes (Vinh, Epps and Bailey 2010)."""
    n = int(rows.sum())
    row_sizes, row_counts = np.unique(rows, return_counts=True)
    column_sizes, column_counts = np.unique(columns, return_counts=True)
    log_fact = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    b = column_sizes[:, None]
    total = 0.0
    for a, repeats in zip(row_sizes, row_counts, strict=True):  # one row size at a time bounds the memory
        shared = np.arange(1, min(a, column_sizes.max()) + 1)[None, :]
        possible = (shared <= b) & (shared >= a + b - n)
        k = np.where(possible, shared, np.maximum(1, a + b - n))
        log_probability = (
            log_fact[a] + log_fact[b] + log_fact[n - a] + log_fact[n - b] - log_fact[n]
            - log_fact[k] - log_fact[a - k] - log_fact[b - k] - log_fact[n - a - b + k]
        )  # fmt: skip
        terms = k / n * np.log(n * k / (a * b)) * np.exp(log_probability)
        total += float(repeats * (column_counts[:, None] * np.where(possible, terms, 0.0)).sum())
    return total
