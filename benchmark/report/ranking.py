"""Ranks, and the intervals that the settled differences of rows leave open for them."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan

from benchmark.records.covariances import Covariances
from benchmark.report.cell_results import CLUSTERING, RETRIEVAL, Run
from benchmark.report.differences import Differences
from benchmark.report.kept_covariances import KeptCovariances
from benchmark.report.rows import Row
from benchmark.report.scatter import covariances, resampled_cells, with_score
from benchmark.report.tables import Table

_METRICS = ((CLUSTERING, "ami"), (RETRIEVAL, "r1"))


def rank(run: Run, table: Table, kept: KeptCovariances | None = None) -> None:
    """Sets each row's rank and interval and the table's differences, and sorts the rows.

    Rows that fail a check rank below those that do not, since their scores look better than they are; rows
    with failed or missing cells rank below both, since not every attack was run on them. Rows without a
    score, those that the run leaves unranked, and references have no rank and stand last, in this order.

    Args:
        run: the run.
        table: one of its tables.
        kept: the covariances of an earlier report; all are computed if not given.
    """
    kept = kept or KeptCovariances(run)
    main, second = ("worst_ami", "worst_r1") if table.has(CLUSTERING) else ("worst_r1", "worst_r1")

    def strength(row: Row) -> tuple[int, float, float]:
        other = row.mean(second)
        return -row.tier, row.mean(main), -1.0 if isnan(other) else other

    ranked = [
        row for row in table.rows if not row.reference and not row.unranked and not isnan(row.mean(main))
    ]
    for row in ranked:
        row.rank = 1 + sum(strength(other) > strength(row) for other in ranked)
    for scenario, metric in _METRICS:
        if table.has(scenario):
            table.differences[metric] = _differences(run, ranked, metric, kept)
    _set_intervals(table, ranked, main.removeprefix("worst_"))
    table.rows.sort(
        key=lambda row: (row.reference, bool(row.unranked), row.rank is None, row.rank or 0, row.name)
    )


def _differences(run: Run, ranked: list[Row], metric: str, kept: KeptCovariances) -> Differences:
    """The differences of the ranked rows; of none where arrays are missing."""
    rows = [row for row in ranked if with_score(row, metric)]
    scores: dict[str, Sequence[float]] = {
        row.defense: [float(getattr(seed, f"worst_{metric}")) for seed in with_score(row, metric)]
        for row in rows
    }
    cells = [cell for row in rows for cell in resampled_cells(row, metric)]
    described = [metric, list(scores.items())]
    found = kept.of(described, cells, lambda: covariances(run, rows, metric)) if rows else Covariances()
    return Differences({name: scores[name] for name in found.rows}, found)


def _set_intervals(table: Table, ranked: list[Row], metric: str) -> None:
    """Sets the ranks that a row may have, by the rows that it is settled to be better or worse than."""
    for row in ranked:
        known = table.differences[metric].scores
        tier = [other for other in ranked if other.tier == row.tier and other is not row]
        if row.rank is None or row.defense not in known or any(other.defense not in known for other in tier):
            continue
        settled = [other for other in tier if table.settled(row, other, metric)]
        above = sum(other.tier < row.tier for other in ranked)
        better = sum((other.rank or 0) < row.rank for other in settled)
        row.rank_low, row.rank_high = above + 1 + better, above + 1 + better + len(tier) - len(settled)
