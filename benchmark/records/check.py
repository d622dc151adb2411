"""Records of the checks for gradient masking: one result per check, and all results of one model."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from benchmark.records.keys import ModelKey
from benchmark.records.provenance import Provenance
from benchmark.records.record import Record

CheckStatus = Literal["pass", "fail", "not run"]


class CheckResult(Record):
    """The result of one check on one model in one table.

    Attributes:
        name: the check's registered name.
        status: "not run" where a measurement that the check needs is missing.
        value: the deciding value, None when not run: a difference of R@1 or another fraction, or a difference
            of objectives in their own units.
        tolerance: the tolerance that the value was compared with.
        excess: how far the value is beyond the tolerance, on whichever side fails; negative within it.
        explanation: the attacks and values behind the result, in one line; or what was missing.
    """

    name: str
    status: CheckStatus
    value: float | None = None
    tolerance: float | None = None
    excess: float | None = None
    explanation: str = ""


class CheckRecord(Record):
    """The results of the checks on one model under attacks of one budget.

    Attributes:
        norm, eps: the budget of the table whose row the results are about; some checks use other budgets too.
        cells: ids of the cells of the grid that was checked; the record says nothing about another grid.
        results: one for each check, in the order of their registration.
    """

    model_id: str
    key: ModelKey
    norm: str
    eps: float
    cells: list[str] = Field(default_factory=list)
    results: list[CheckResult]
    provenance: Provenance
