"""Worst cases of one trained model, as the protocol defines them for each scenario."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import isnan, nan

import numpy as np

from benchmark.core.errors import BenchmarkError
from benchmark.records.worst_queries import QueryScores, worst_of
from benchmark.report.cell_results import CellResult, Run


def lowest(cells: Iterable[CellResult], metric: str) -> CellResult | None:
    """The cell with the lowest value of a metric, the first of them in a tie; None when none has one.

    This is the worst case of a metric of a whole pool: attacks cannot be combined image by image, so it is a
    minimum over cells.
    """
    scored = ((value, cell) for cell in cells if not isnan(value := cell.metric(metric)))
    return min(scored, key=lambda pair: pair[0], default=(nan, None))[1]


def worst_queries(run: Run, cells: Sequence[CellResult], own: bool = False) -> np.ndarray | None:
    """The success of each query under the attack that is worst for it, shape (n_queries,); see `worst_of`.

    Reads the arrays of one cell at a time.

    Args:
        run: where the arrays are.
        cells: the clean cell and the attacked ones, of one model and one budget.
        own: whether an attack that follows others counts for itself alone, at the queries that it attacked.

    Returns:
        None when no cell is done.

    Raises:
        BenchmarkError: when two cells hold different numbers of queries.
    """
    return worst_of(_query_scores(run, cells, own))


def _query_scores(run: Run, cells: Sequence[CellResult], own: bool) -> Iterator[QueryScores]:
    """Reads the cells that are done."""
    queries: int | None = None
    for cell in cells:
        if not cell.done:
            continue
        arrays = run.arrays(cell)
        success, alone, halves = arrays["success"], arrays.get("own"), arrays.get("halves")
        if own and alone is not None:
            spared = arrays["before"] <= 0
            success = alone = np.where(spared, 1.0, alone)
            halves = None if halves is None else np.where(spared, 1.0, halves)
        queries = len(success) if queries is None else queries
        if len(success) != queries:
            raise BenchmarkError(
                f"Cell {cell.ref.id} has {len(success)} queries, others of its model have {queries}."
            )
        left_out = cell.record is not None and cell.record.attacked_queries == 0
        yield QueryScores(success, alone, halves, left_out)


def mean(values: Iterable[float]) -> float:
    """The mean of the values that are not nan; nan when there is none."""
    known = [value for value in values if not isnan(value)]
    return float(np.add.reduce(known) / len(known)) if known else nan  # np.mean takes thrice the time


def deviation(values: Iterable[float]) -> float:
    """The sample standard deviation (ddof 1) of the values that are not nan; nan for fewer than two."""
    known = [value for value in values if not isnan(value)]
    return float(np.std(known, ddof=1)) if len(known) > 1 else nan
