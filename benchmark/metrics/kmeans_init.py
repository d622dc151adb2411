"""Greedy k-means++ initialization (Arthur & Vassilvitskii 2007), for small and for large problems.

Each step draws several candidates with probability proportional to D^2, a point's squared distance to the
nearest centroid so far, and keeps the one that leaves the smallest sum of D^2.
"""

from __future__ import annotations

from math import log

import numpy as np
from numpy.typing import NDArray

BATCH = 512
"""The maximum number of candidates compared with all points at a time; memory grows with BATCH x n."""

AHEAD = 1 / 8
"""The number of steps whose candidates are drawn at once, as a share of the centroids chosen so far: while
these are few, each lowers D^2 much, and candidates drawn many steps ahead are mostly rejected."""


def stepwise_init(points: NDArray[np.float32], k: int, seed: int) -> NDArray[np.int64]:
    """Draws k of the points as initial centroids by greedy k-means++, one step after the other.

    These are the points that `kmeans_plusplus` of scikit-learn 1.9 draws from the same seed, in a third of
    its time: it checks and converts all points at each step. They are part of the protocol, so they must not
    change with a library's version, as that function's have.

    Args:
        points: shape (n, d), float32, finite.
        k: the number of points to draw, from 1 to n.
        seed: of the draws, from 0 to 2**31 - 1.

    Returns:
        Indices of the points, shape (k,): distinct until every point coincides with one of them.
    """
    random = np.random.RandomState(seed)
    trials = default_trials(k)
    wide = points.astype(np.float64)  # distances are rounded to float32 once they are computed
    doubled, columns, lengths = -2 * wide, np.ascontiguousarray(wide.T), np.einsum("nd,nd->n", wide, wide)
    ones = np.ones((len(points), 1), dtype=np.float32)

    def distances(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        squared = doubled[rows] @ columns
        squared += lengths[rows, None]
        squared += lengths
        return np.maximum(squared, 0, out=squared).astype(np.float32)

    chosen = np.empty(k, dtype=np.int64)
    chosen[0] = random.choice(len(points), p=ones[:, 0] / ones.sum())
    closest = distances(chosen[:1])[0]
    left = closest @ ones
    for step in range(1, k):
        candidates = np.searchsorted(np.cumsum(closest), random.uniform(size=trials) * left)
        candidates = np.minimum(candidates, len(points) - 1)
        closer = distances(candidates)
        np.minimum(closer, closest, out=closer)
        sums = closer @ ones
        best = int(sums.argmin())
        chosen[step], closest, left = candidates[best], closer[best], sums[best]
    return chosen


def greedy_init(
    points: NDArray[np.float32], k: int, seed: int, trials: int | None = None, batch: int = BATCH
) -> NDArray[np.int64]:
    """Draws k of the points as initial centroids by greedy k-means++, the candidates of many steps at once.

    The standard algorithm reads all points once per centroid. This one draws many, so that
    their distances are one matrix product, and accepts each at its step with probability (D^2 now) /
    (D^2 when it was drawn). Since D^2 never grows, this is rejection sampling: an accepted candidate has the
    distribution of its own step, so the result is that of greedy k-means++ with other random numbers.

    Args:
        points: shape (n, d), float32, finite, with their mean near the origin.
        k: the number of points to draw, from 1 to n.
        seed: of the draws, not negative.
        trials: candidates per step, at least 1; by default `default_trials`.
        batch: the maximum number of candidates drawn at once (at least `trials` are); the draws depend on it.

    Returns:
        Indices of the points, shape (k,): distinct until every point coincides with one of them, arbitrary
        after that.
    """
    random = np.random.default_rng(seed)
    trials = trials or default_trials(k)
    chosen = random.integers(len(points), size=k)
    closest = _distances(points, chosen[:1])[0]
    done = 1
    while done < k:
        mass = np.cumsum(closest, dtype=np.float64)
        if not mass[-1] > 0:
            break
        steps = max(min(int(AHEAD * done), k - done, batch // trials), 1)
        candidates = np.searchsorted(mass, random.random(steps * trials) * mass[-1], side="right")
        candidates = np.minimum(candidates, len(points) - 1)
        thresholds = random.random(len(candidates)) * closest[candidates]
        rows = _distances(points, candidates)
        while done < k:
            accepted = np.flatnonzero(closest[candidates] >= thresholds)[:trials]
            if len(accepted) < trials:
                break
            left = np.minimum(rows[accepted], closest)
            best = int(left.sum(axis=1).argmin())
            closest, chosen[done] = left[best], candidates[accepted[best]]
            done += 1
            thresholds[: accepted[-1] + 1] = np.inf  # each candidate is considered once
    return chosen


def default_trials(k: int) -> int:
    """The number of candidates per step, as in scikit-learn."""
    return 2 + int(log(k))


def _distances(points: NDArray[np.float32], candidates: NDArray[np.int64]) -> NDArray[np.float32]:
    """Computes squared distances of the candidates to all points, shape (c, n); exactly 0 to themselves."""
    import faiss

    rows: NDArray[np.float32] = faiss.pairwise_distances(points[candidates], points)
    # |x|^2 - 2xy + |y|^2 is not exactly 0 for a point and itself, and may fall below it.
    np.maximum(rows, 0, out=rows)
    rows[np.arange(len(candidates)), candidates] = 0
    return rows
