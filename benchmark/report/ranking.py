"""Ranks with their intervals, by resampling images, training seeds and k-means seeds."""

from __future__ import annotations

from math import isnan, sqrt

import numpy as np

from benchmark.core.mutual_information import PartitionsOf, indexed
from benchmark.report.cell_results import CLUSTERING, CellResult, Run
from benchmark.report.kept_intervals import Intervals, KeptIntervals
from benchmark.report.rows import Row, SeedScores
from benchmark.report.tables import Table
from benchmark.report.worst_case import worst_queries

REPLICATES = 100
INTERVAL = (0.025, 0.975)
ENTROPY = 20250101


def rank(run: Run, table: Table, kept: KeptIntervals | None = None) -> None:
    """Sets each row's rank and interval, and sorts the rows.

    Rows that fail a check rank below those that do not, since their scores look better than they are; rows
    with failed or missing cells rank below both, since not every attack was run on them. Rows without a
    score, those that the run leaves unranked, and references have no rank and stand last, in this order.

    Args:
        run: the run.
        table: one of its tables.
        kept: the intervals of an earlier report; all are computed if not given.
    """
    kept = kept or KeptIntervals(run)
    main, second = ("worst_ami", "worst_r1") if table.has(CLUSTERING) else ("worst_r1", "worst_r1")

    def strength(row: Row) -> tuple[int, float, float]:
        other = row.mean(second)
        return -row.tier, row.mean(main), -1.0 if isnan(other) else other

    ranked = [
        row for row in table.rows if not row.reference and not row.unranked and not isnan(row.mean(main))
    ]
    for row in ranked:
        row.rank = 1 + sum(strength(other) > strength(row) for other in ranked)
    for tier in sorted({row.tier for row in ranked}):
        group = [row for row in ranked if row.tier == tier]
        above = sum(row.tier < tier for row in ranked)
        _set_intervals(run, group, main, above, kept)
    table.rows.sort(
        key=lambda row: (row.reference, bool(row.unranked), row.rank is None, row.rank or 0, row.name)
    )


def _set_intervals(run: Run, rows: list[Row], main: str, above: int, kept: KeptIntervals) -> None:
    seeds = [[[seed.seed, getattr(seed, main)] for seed in row.seeds] for row in rows]
    cells = [cell for row in rows for cell in _resampled_cells(row, main)]
    found = kept.of([main, above, seeds], cells, lambda: _intervals(run, rows, main, above))
    for row, (low, high) in zip(rows if found else [], found, strict=True):
        assert row.rank is not None
        row.rank_low, row.rank_high = min(low, row.rank), max(high, row.rank)


def _resampled_cells(row: Row, main: str) -> list[CellResult]:
    """The cells whose arrays are resampled."""
    if main == "worst_ami":
        return [seed.worst_cell for seed in row.seeds if seed.worst_cell]
    return [cell for seed in row.seeds for cell in row.retrieval_cells(seed.seed)]


def _intervals(run: Run, rows: list[Row], main: str, above: int) -> Intervals:
    scores = _resample_ami(run, rows) if main == "worst_ami" else _resample_r1(run, rows)
    if scores is None:
        return []
    ranks = above + 1 + (scores[:, None, :] > scores[:, :, None]).sum(axis=2)
    low, high = np.quantile(ranks, INTERVAL, axis=0, method="inverted_cdf")
    return [(int(least), int(most)) for least, most in zip(low, high, strict=True)]


def _resample_ami(run: Run, rows: list[Row]) -> np.ndarray | None:
    """Worst AMI of each row in each replicate, shape (REPLICATES, rows); None where arrays are missing.

    Images are drawn without replacement, half of them. An ordinary bootstrap does not work for a clustering
    metric: two copies of an image share class and cluster, which counts as agreement; the AMI of a random
    clustering of 68 classes of 20 rises from 0 to 0.17, and its deviation is a third too small. A half has no
    copies, and its AMI varies about the whole pool's as much as the whole pool's about the true value (in
    general sqrt((n - m) / m) times as much, for m out of n). Centering removes the remaining shift.
    Each replicate draws one half for all rows, so that an image that is easy for all changes no rank.

    Only the cell that the worst AMI is from is recomputed. Each replicate uses one of its k-means seeds; the
    variance of the mean over few k-means seeds is a source of its own, drawn separately for each row.
    """
    drawn = _draw_seeds(rows)
    scores = np.zeros((REPLICATES, len(rows)))
    halves: dict[int, _Halves] = {}
    sizes: set[int] = set()
    for column, row in enumerate(rows):
        for position, seed in enumerate(_with_score(row, "worst_ami")):
            weights = _weights(row, "worst_ami", drawn)[:, position]
            stream = (1 + column, 1 + position)
            scatter = _ami_scatter(run, seed.worst_cell, np.flatnonzero(weights), stream, halves)
            if scatter is None:
                return None
            deviations, n = scatter
            sizes.add(n)
            scores[:, column] += weights * (seed.worst_ami + deviations)
    return scores if len(sizes) == 1 else None  # pools of different sizes cannot be paired


class _Halves:
    """Half of a pool's images for each replicate.

    Args:
        n: the number of images of the pool.
    """

    def __init__(self, n: int) -> None:
        self.whole = PartitionsOf(n)
        self.part = PartitionsOf(n // 2)
        generators = (np.random.default_rng([ENTROPY, replicate]) for replicate in range(REPLICATES))
        self.chosen = [generator.permutation(n)[: n // 2] for generator in generators]


def _ami_scatter(
    run: Run,
    cell: CellResult | None,
    replicates: np.ndarray,
    stream: tuple[int, int],
    halves: dict[int, _Halves],
) -> tuple[np.ndarray, int] | None:
    """Deviations of one cell's AMI in the replicates, shape (REPLICATES,), and its pool's size."""
    arrays = run.arrays(cell) if cell else {}
    if "assignments" not in arrays or "labels" not in arrays:
        return None
    labels, assignments = indexed(arrays["labels"]), [indexed(one) for one in arrays["assignments"]]
    runs, n = len(assignments), len(labels)
    if n not in halves:
        halves[n] = _Halves(n)
    half = halves[n]
    whole = np.array([half.whole.adjusted_mutual_information(labels, one) for one in assignments])
    deviations = np.zeros(REPLICATES)
    for replicate in map(int, replicates):
        chosen = half.chosen[replicate]
        part = half.part.adjusted_mutual_information(labels[chosen], assignments[replicate % runs][chosen])
        deviations[replicate] = part - whole[replicate % runs]
    deviations[replicates] -= deviations[replicates].mean() if len(replicates) else 0.0
    generator = np.random.default_rng([ENTROPY, REPLICATES, *stream])
    redrawn = generator.choice(whole, (REPLICATES, runs)).mean(axis=1) - whole.mean()
    return deviations * sqrt((n // 2) / (n - n // 2)) + redrawn, n


def _resample_r1(run: Run, rows: list[Row]) -> np.ndarray | None:
    """Worst R@1 of each row in each replicate, by an ordinary bootstrap: it is a mean over queries."""
    drawn = _draw_seeds(rows)
    scores = np.zeros((REPLICATES, len(rows)))
    sizes: set[int] = set()
    for column, row in enumerate(rows):
        weights = _weights(row, "worst_r1", drawn)
        for position, seed in enumerate(_with_score(row, "worst_r1")):
            queries = worst_queries(run, row.retrieval_cells(seed.seed))
            if queries is None:
                return None
            sizes.add(len(queries))
            for replicate in map(int, np.flatnonzero(weights[:, position])):
                indices = np.random.default_rng([ENTROPY, replicate]).integers(0, len(queries), len(queries))
                scores[replicate, column] += weights[replicate, position] * queries[indices].mean()
    return scores if len(sizes) == 1 else None


def _with_score(row: Row, name: str) -> list[SeedScores]:
    return [seed for seed in row.seeds if not isnan(getattr(seed, name))]


def _draw_seeds(rows: list[Row]) -> list[list[int]]:
    """The seeds of each replicate, drawn with replacement from those of the table, the same for all rows."""
    seeds = sorted({seed.seed for row in rows for seed in row.seeds})
    if not seeds:
        return [[] for _ in range(REPLICATES)]
    generator = np.random.default_rng([ENTROPY, REPLICATES])
    return [[seeds[i] for i in generator.integers(0, len(seeds), len(seeds))] for _ in range(REPLICATES)]


def _weights(row: Row, name: str, drawn: list[list[int]]) -> np.ndarray:
    """The weight of each of a row's seeds in each replicate, shape (REPLICATES, seeds with that score).

    A row without any of the drawn seeds (its cells failed) uses all seeds that it has.
    """
    seeds = [seed.seed for seed in _with_score(row, name)]
    weights = np.array([[draw.count(seed) for seed in seeds] for draw in drawn], dtype=np.float64)
    weights[weights.sum(axis=1) == 0] = 1.0
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
