"""How the scores of rows scatter over other images of the same classes: covariances by resampling."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from math import isnan, sqrt

import numpy as np

from benchmark.core.mutual_information import PartitionsOf, indexed
from benchmark.report.cell_results import CellResult, Run
from benchmark.report.kept_covariances import Covariances
from benchmark.report.rows import Row, SeedScores
from benchmark.report.worst_case import worst_queries

REPLICATES = 100
ENTROPY = 20250101
UNKNOWN: Covariances = ([], 0)


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
    """Computes the covariances over images of the rows' worst cases, means over training seeds.

    Args:
        run: where the arrays are.
        rows: rows of one table that have a worst case of the metric.
        metric: "ami" or "r1".

    Returns:
        `UNKNOWN` where arrays are missing, or pools have different sizes, so that rows cannot be paired.
    """
    found = _of_ami(run, rows) if metric == "ami" else _of_r1(run, rows)
    if found is None:
        return UNKNOWN
    matrix, freedom = found
    return [[float(value) for value in line] for line in np.atleast_2d(matrix)], freedom


def _of_r1(run: Run, rows: Sequence[Row]) -> tuple[np.ndarray, int] | None:
    """Of worst R@1, which is a mean over queries."""
    columns = []
    for row in rows:
        found = [worst_queries(run, row.retrieval_cells(seed.seed)) for seed in with_score(row, "r1")]
        queries = [one for one in found if one is not None]
        if len(queries) < len(found) or len({len(one) for one in queries}) != 1:
            return None
        columns.append(np.mean(queries, axis=0))
    if len({len(column) for column in columns}) != 1 or len(columns[0]) < 2:
        return None
    n = len(columns[0])
    return np.cov(np.stack(columns)) / n, n - 1


def _of_ami(run: Run, rows: Sequence[Row]) -> tuple[np.ndarray, int] | None:
    """Of worst AMI, from replicates.

    Images are drawn without replacement, half of them. An ordinary bootstrap does not work for a clustering
    metric: two copies of an image share class and cluster, which counts as agreement; the AMI of a random
    clustering of 68 classes of 20 rises from 0 to 0.17, and its deviation is a third too small. A half has no
    copies, and its AMI varies about the whole pool's as much as the whole pool's about the true value (in
    general sqrt((n - m) / m) times as much, for m out of n). Each replicate draws one half for all rows, so
    that what is easy for all of them cancels in their differences.

    Only the cell that the worst AMI is from is recomputed. Each replicate uses one of its k-means seeds; the
    variance of the mean over few k-means seeds is a source of its own. It is drawn for a row of one training
    seed, and part of the variance over these where there are several.
    """
    halves: dict[int, _Halves] = {}
    scores = np.zeros((len(rows), REPLICATES))
    for place, row in enumerate(rows):
        seeds = with_score(row, "ami")
        for seed in seeds:
            arrays = run.arrays(seed.worst_cell) if seed.worst_cell else {}
            if "assignments" not in arrays or "labels" not in arrays:
                return None
            labels = indexed(arrays["labels"])
            assignments = [indexed(one) for one in arrays["assignments"]]
            half = halves.setdefault(len(labels), _Halves(len(labels)))
            whole = half.whole_ami(labels, assignments)
            scores[place] += half.deviations(labels, assignments, whole) / len(seeds)
            if len(seeds) == 1:
                scores[place] += _redrawn(whole, row.defense)
    return (np.cov(scores), REPLICATES - 1) if len(halves) == 1 else None


def _redrawn(whole: np.ndarray, defense: str) -> np.ndarray:
    """Deviations of the mean over k-means seeds, where these are drawn anew in each replicate."""
    stream = int.from_bytes(sha256(defense.encode()).digest()[:8], "big")  # apart from those of other rows
    generator = np.random.default_rng([ENTROPY, REPLICATES, stream])
    return np.asarray(generator.choice(whole, (REPLICATES, len(whole))).mean(axis=1) - whole.mean())


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
