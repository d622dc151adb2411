"""The first centroids of a large k-means: greedy k-means++ with its distances from large matrix products."""

from __future__ import annotations

from math import log

import faiss
import numpy as np
from numpy.typing import NDArray

BATCH = 512
"""At most this many candidates are compared with all points at a time; memory grows with BATCH x n."""

AHEAD = 1 / 8
"""Candidates are drawn for this share of the centroids so far: while these are few, each lowers D^2 much, and
candidates that wait long are mostly rejected."""


def greedy_start(
    points: NDArray[np.float32], k: int, seed: int, trials: int | None = None, batch: int = BATCH
) -> NDArray[np.int64]:
    """Draws k of the points as first centroids by greedy k-means++ (Arthur & Vassilvitskii 2007).

    Each step draws `trials` candidates with probability proportional to D^2, a point's squared distance to
    the nearest centroid so far, and keeps the one that leaves the smallest sum of D^2. Step by step, all
    points are read once for each centroid. Here the candidates of many steps are drawn at once, which makes
    their distances one matrix product, and each is accepted in its turn with probability (D^2 now) / (D^2
    when it was drawn). Since D^2 never grows, this is rejection sampling: an accepted candidate is drawn by
    the D^2 of its own step, so the start is that of greedy k-means++, with other random numbers.

    Args:
        points: shape (n, d), float32, finite, their mean near the origin.
        k: how many to draw, from 1 to n.
        seed: of the draws, not negative.
        trials: candidates a step, at least 1; by default 2 + floor(log k), as many as scikit-learn takes.
        batch: at most this many candidates at once (never fewer than `trials`); what is drawn depends on it.

    Returns:
        Indices of the points, shape (k,): distinct until no point is left that lies apart from all of them,
        and any points after that.
    """
    random = np.random.default_rng(seed)
    trials = trials or 2 + int(log(k))
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
        bars = random.random(len(candidates)) * closest[candidates]
        rows = _distances(points, candidates)
        while done < k:
            accepted = np.flatnonzero(closest[candidates] >= bars)[:trials]
            if len(accepted) < trials:
                break
            left = np.minimum(rows[accepted], closest)
            best = int(left.sum(axis=1).argmin())
            closest, chosen[done] = left[best], candidates[accepted[best]]
            done += 1
            bars[: accepted[-1] + 1] = np.inf  # all of these have had their turn
    return chosen


def _distances(points: NDArray[np.float32], candidates: NDArray[np.int64]) -> NDArray[np.float32]:
    """Squared distances of the candidates to all points, shape (c, n), 0 from each to itself."""
    rows: NDArray[np.float32] = faiss.pairwise_distances(points[candidates], points)
    # |x|^2 - 2xy + |y|^2 is not exactly 0 for a point and itself, and may fall below it.
    np.maximum(rows, 0, out=rows)
    rows[np.arange(len(candidates)), candidates] = 0
    return rows
