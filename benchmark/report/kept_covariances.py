"""Covariances of an earlier report that need not be computed again, because nothing changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from hashlib import sha256
from importlib.metadata import version
from typing import Any

from benchmark.core.source import SOURCE_DIGEST
from benchmark.records.covariances import Covariances, CovariancesRecord
from benchmark.report.cell_results import CellResult, Run

_LIBRARIES = ("numpy", "scipy")


class KeptCovariances:
    """The covariances of a run: kept where they were computed from the same, else computed.

    Args:
        run: the run.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        record = run.covariances()
        self._before = record.known if record else {}
        self._now: dict[str, Covariances] = {}
        self._common = [SOURCE_DIGEST, *(version(name) for name in _LIBRARIES)]

    def of(
        self, described: Sequence[Any], cells: Sequence[CellResult], compute: Callable[[], Covariances]
    ) -> Covariances:
        """Finds the covariances of rows that are ranked together.

        Args:
            described: all that they are computed from beside the arrays of cells; it can be JSON.
            cells: the cells whose arrays they are computed from.
            compute: computes them.
        """
        content = json.dumps([self._common, described, [self._described(cell) for cell in cells]])
        digest = sha256(content.encode()).hexdigest()
        self._now[digest] = self._before[digest] if digest in self._before else compute()
        return self._now[digest]

    def _described(self, cell: CellResult) -> list[Any]:
        attacked = cell.record and cell.record.attacked_queries
        return [cell.ref.id, cell.ref.role, attacked, self._run.arrays_stamp(cell)]

    def save(self) -> None:
        """Records those that were asked for, for the next report."""
        if self._now != self._before:
            self._run.save_covariances(CovariancesRecord(known=self._now))
