"""How the scores of rows scatter over other images of the same classes: covariances by resampling."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import isnan, sqrt
from typing import NamedTuple

import numpy as np

from benchmark.core.mutual_information import PartitionsOf, indexed
from benchmark.records.covariances import Covariances
from benchmark.report.cell_results import CellResult, Run
from benchmark.report.rows import Row, SeedScores
from benchmark.report.worst_case import worst_queries

REPLICATES = 100
ENTROPY = 20250101


def with_score(row: Row, metric: str) -> list[SeedScores]:
    """The seeds of a row that have a worst case of a metric, "ami" or "r1"."""
    return [seed for seed in row.seeds if not isnan(getattr(seed, f"worst_{metric}"))]


def resampled_cells(row: Row, metric: str) -> list[CellResult]:
    """The cells whose arrays are resampled."""
    seeds = with_score(row, metric)
    if metric == "ami":
        return [seed.worst_cell for seed in seeds if seed.worst_cell]
    return [cell for seed in seeds for cell in row.retrieval_cells(seed.seed)]


def covariances(run: Run, rows: Sequence[Row], metric: str) -> Covariances:
    """Computes how the rows' worst cases, means over training seeds, scatter over images.

    Args:
        run: where the arrays are.
        rows: rows of one table that have a worst case of the metric.
        metric: "ami" or "r1".

    Returns:
        Those of the rows that have arrays; of none where pools have different sizes, so that rows cannot be
        paired.
    """
    of = _of_ami if metric == "ami" else _of_r1
    found = {row.defense: scattered for row in rows if (scattered := of(run, row)) is not None}
    if not found or len({one.images for one in found.values()}) != 1:
        return Covariances()
    first = next(iter(found.values()))
    matrix = np.atleast_2d(np.cov(np.stack([one.draws for one in found.values()]))) * first.scale
    return Covariances(
        rows=list(found),
        matrix=[[float(value) for value in line] for line in matrix],
        freedom=len(first.draws) - 1,
        own=[one.own for one in found.values()],
    )


class _Scattered(NamedTuple):
    """How the worst case of one row scatters.

    Attributes:
        images: the number of images or queries.
        draws: values, paired with those of other rows, shape (n,).
        scale: the variance of the worst case, as a multiple of that of the values.
        own: a variance that it shares with no other row, and its degrees of freedom.
    """

    images: int
    draws: np.ndarray
    scale: float
    own: tuple[float, int] = (0.0, 1)


def _of_r1(run: Run, row: Row) -> _Scattered | None:
    """Of worst R@1, which is a mean over queries; None where arrays are missing."""
    found = [worst_queries(run, row.retrieval_cells(seed.seed)) for seed in with_score(row, "r1")]
    queries = [one for one in found if one is not None]
    if len(queries) < len(found) or len({len(one) for one in queries}) != 1 or len(queries[0]) < 2:
        return None
    n = len(queries[0])
    return _Scattered(n, np.mean(queries, axis=0), 1 / n)


def _of_ami(run: Run, row: Row) -> _Scattered | None:
    """Of worst AMI, from replicates; None where arrays are missing.

    Images are drawn without replacement, half of them. An ordinary bootstrap does not work for a clustering
    metric: two copies of an image share class and cluster, which counts as agreement; the AMI of a random
    clustering of 68 classes of 20 rises from 0 to 0.17, and its deviation is a third too small. A half has no
    copies, and its AMI varies about the whole pool's as much as the whole pool's about the true value (in
    general sqrt((n - m) / m) times as much, for m out of n). Each replicate draws one half for all rows, so
    that what is easy for all of them cancels in their differences.

    Only the cell that the worst AMI is from is recomputed. Each replicate uses one of its k-means seeds; the
    variance of the mean over few k-means seeds is a source of its own for a row of one training seed, and
    part of the variance over these where there are several.
    """
    seeds = with_score(row, "ami")
    draws, own, sizes = np.zeros(REPLICATES), (0.0, 1), set()
    for seed in seeds:
        arrays = run.arrays(seed.worst_cell) if seed.worst_cell else {}
        if "assignments" not in arrays or "labels" not in arrays:
            return None
        labels = indexed(arrays["labels"])
        assignments = [indexed(one) for one in arrays["assignments"]]
        half = _halves(len(labels))
        whole = half.whole_ami(labels, assignments)
        draws += half.deviations(labels, assignments, whole) / len(seeds)
        sizes.add(len(labels))
        if len(seeds) == 1 and len(whole) > 1:
            own = (float(np.var(whole, ddof=1)) / len(whole), len(whole) - 1)
    return _Scattered(sizes.pop(), draws, 1.0, own) if len(sizes) == 1 else None


@lru_cache(maxsize=2)
def _halves(n: int) -> _Halves:
    """The halves of pools of one size, which all rows share."""
    return _Halves(n)


class _Halves:
    """Half of a pool's images for each replicate.

    Args:
        n: the number of images of the pool.
    """

    def __init__(self, n: int) -> None:
        self._whole = PartitionsOf(n)
        self._part = PartitionsOf(n // 2)
        self._scale = sqrt((n // 2) / (n - n // 2))
        generators = (np.random.default_rng([ENTROPY, replicate]) for replicate in range(REPLICATES))
        self._chosen = [generator.permutation(n)[: n // 2] for generator in generators]

    def whole_ami(self, labels: np.ndarray, assignments: Sequence[np.ndarray]) -> np.ndarray:
        """AMI of each clustering of the whole pool."""
        return np.array([self._whole.adjusted_mutual_information(labels, one) for one in assignments])

    def deviations(
        self, labels: np.ndarray, assignments: Sequence[np.ndarray], whole: np.ndarray
    ) -> np.ndarray:
        """Deviations of the AMI of the halves from that of the whole, shape (REPLICATES,)."""
        runs, found = len(assignments), np.zeros(REPLICATES)
        for replicate, chosen in enumerate(self._chosen):
            run = replicate % runs
            part = self._part.adjusted_mutual_information(labels[chosen], assignments[run][chosen])
            found[replicate] = part - whole[run]
        return found * self._scale
