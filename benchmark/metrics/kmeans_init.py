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

_MOST_KEPT = 4096
"""The number of points from which distances between all of them, 64 MB, are not kept."""

AHEAD = 1 / 8
"""The number of steps whose candidates are drawn at once, as a share of the centroids chosen so far: while
these are few, each lowers D^2 much, and candidates drawn many steps ahead are mostly rejected."""


class SquaredDistances:
    """Squared distances between points: computed in float64, rounded to float32.

    Args:
        points: shape (n, d), float32, finite.
        expected: how many rows will be asked for, about; where it is more than n, all are computed at once,
            if they are not too many to be kept.
    """

    def __init__(self, points: NDArray[np.float32], expected: int) -> None:
        self._points, self._columns = points, np.ascontiguousarray(points.T, dtype=np.float64)
        self._lengths = np.einsum("dn,dn->n", self._columns, self._columns)
        self._all: NDArray[np.float32] | None = None
        if len(points) < min(expected, _MOST_KEPT):
            chunks = np.array_split(np.arange(len(points)), 1 + len(points) // BATCH)
            self._all = np.concatenate([self._computed(chunk) for chunk in chunks])

    def __len__(self) -> int:
        return len(self._lengths)

    def to_all(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Returns the distances of the points at `rows`, shape (r,), to all points; a new array, (r, n)."""
        return self._computed(rows) if self._all is None else self._all[rows]

    def _computed(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        squared = -2 * self._points[rows].astype(np.float64) @ self._columns
        squared += self._lengths[rows, None]
        squared += self._lengths
        return np.maximum(squared, 0, out=squared).astype(np.float32)


def stepwise_init(distances: SquaredDistances, k: int, seed: int) -> NDArray[np.int64]:
    """Draws k points as initial centroids by greedy k-means++, one step after the other.

    These are the points that `kmeans_plusplus` of scikit-learn 1.9 draws from the same seed, in a third of
    its time: it checks and converts all points at each step. They are part of the protocol, so they must not
    change with a library's version, as that function's have.

    Args:
        distances: between all points, n of them.
        k: the number of points to draw, from 1 to n.
        seed: of the draws, from 0 to 2**31 - 1.

    Returns:
        Indices of the points, shape (k,): distinct until every point coincides with one of them.
    """
    random = np.random.RandomState(seed)
    trials, last = default_trials(k), len(distances) - 1
    ones = np.ones((len(distances), 1), dtype=np.float32)
    chosen = np.empty(k, dtype=np.int64)
    chosen[0] = random.choice(len(distances), p=ones[:, 0] / ones.sum())
    closest = distances.to_all(chosen[:1])[0]
    left = closest @ ones
    for step in range(1, k):
        candidates = np.searchsorted(np.cumsum(closest), random.uniform(size=trials) * left)
        candidates = np.minimum(candidates, last)
        closer = distances.to_all(candidates)
        np.minimum(closer, closest, out=closer)
        sums = closer @ ones
        best = int(sums.argmin())
        chosen[step], closest, left = candidates[best], closer[best], sums[best]
    return chosen


def greedy_init(
    points: NDArray[np.float32], k: int, seed: int, trials: int | None = None, batch: int = BATCH
) -> NDArray[np.int64]:
    """Draws k of the points as initial centroids by greedy k-means++, the candidates of many steps at once.

    The standard algorithm reads all points once per centroid. This one draws the candidates of many steps at
    once, so that their distances are one matrix product, and accepts each at its step with probability (D^2
    now) / (D^2 when it was drawn). Since D^2 never grows, this is rejection sampling: an accepted candidate
    has the distribution of its own step, so the result is that of greedy k-means++ with other random numbers.

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
