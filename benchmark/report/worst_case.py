"""Worst cases of one trained model, as the protocol defines them for each scenario."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isnan, nan

import numpy as np

from benchmark.core.errors import BenchmarkError
from benchmark.report.cell_results import CellResult, Run


def lowest(cells: Iterable[CellResult], metric: str) -> CellResult | None:
    """The cell with the lowest value of a metric, the first of them in a tie; None when none has one.

    This is the worst case of a metric of a whole pool: attacks cannot be combined image by image, so it is a
    minimum over cells.
    """
    scored = ((value, cell) for cell in cells if not isnan(value := cell.metric(metric)))
    return min(scored, key=lambda pair: pair[0], default=(nan, None))[1]


def worst_queries(run: Run, cells: Sequence[CellResult], own: bool = False) -> np.ndarray | None:
    """The success of each query under the attack that is worst for it, shape (n_queries,).

    The success under a randomised model is a mean of few repeats, and the lowest of several such means is too
    low by chance. So where the cells hold both halves of the repeats, the attack of each query is the worst
    one on either half, and its success is that on the other half; the result is the mean of the two. It is
    that of the attack chosen, without bias.

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
    worst: np.ndarray | None = None
    halves: _Halves | None = _Halves()
    for cell in cells:
        if not cell.done:
            continue
        arrays = run.arrays(cell)
        success = arrays["success"].astype(np.float64)
        spared = arrays["before"] <= 0 if own and "own" in arrays else np.zeros(success.shape, dtype=bool)
        if own and "own" in arrays:
            success = np.where(spared, 1.0, arrays["own"])
        if worst is not None and success.shape != worst.shape:
            raise BenchmarkError(
                f"Cell {cell.ref.id} has {len(success)} queries, others of its model have {len(worst)}."
            )
        worst = success if worst is None else np.minimum(worst, success)
        if halves is not None and not _attacked_none(cell):
            halves = (
                halves.with_attack(np.where(spared, 1.0, arrays["halves"])) if "halves" in arrays else None
            )
    return worst if halves is None or halves.scored is None else halves.scored.mean(axis=0)


def _attacked_none(cell: CellResult) -> bool:
    """Whether its attack was left out, because nothing stood before it; its scores are those of others."""
    return cell.record is not None and cell.record.attacked_queries == 0


@dataclass(frozen=True)
class _Halves:
    """The attack that is worst for each query on one half of the repeats, and its success on the other.

    Attributes:
        chosen: lowest success on either half, shape (2, n_queries); None before any attack.
        scored: the success of the same attack on the other half, shape (2, n_queries).
    """

    chosen: np.ndarray | None = None
    scored: np.ndarray | None = None

    def with_attack(self, found: np.ndarray) -> _Halves:
        """Adds an attack by its success on both halves, shape (2, n_queries)."""
        found = found.astype(np.float64)
        if self.chosen is None or self.scored is None:
            return _Halves(found, found[::-1])
        lower = found < self.chosen
        return _Halves(np.where(lower, found, self.chosen), np.where(lower, found[::-1], self.scored))


def mean(values: Iterable[float]) -> float:
    """The mean of the values that are not nan; nan when there is none."""
    known = [value for value in values if not isnan(value)]
    return float(np.mean(known)) if known else nan


def deviation(values: Iterable[float]) -> float:
    """The sample standard deviation (ddof 1) of the values that are not nan; nan for fewer than two."""
    known = [value for value in values if not isnan(value)]
    return float(np.std(known, ddof=1)) if len(known) > 1 else nan
