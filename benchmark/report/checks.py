"""The results of the checks for a row, over its seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmark.records import CheckRecord, CheckResult, CheckStatus

NOT_RUN: CheckStatus = "not run"


@dataclass(frozen=True)
class RowCheck:
    """The result of one check over the seeds of a row.

    Attributes:
        status: "fail" when it fails for a seed, "pass" when it passes for all, else "not run".
        value: the deciding value, of the seed that is furthest beyond the tolerance; None when not run.
        explanation: the attacks and values behind the result, or what was missing.
        seed: the training seed that the value is from.
    """

    status: CheckStatus = NOT_RUN
    value: float | None = None
    explanation: str = ""
    seed: int | None = None


def over_seeds(names: Iterable[str], records: Sequence[CheckRecord | None]) -> dict[str, RowCheck]:
    """Combines the results of each check over the seeds of a row.

    Args:
        names: the checks of the run, in the order of the columns.
        records: of each model of the row; None for one that was not checked.
    """
    return {name: _over_seeds(name, records) for name in names}


def _over_seeds(name: str, records: Sequence[CheckRecord | None]) -> RowCheck:
    found = [
        (result, record.key.seed)
        for record in records
        if record is not None
        for result in record.results
        if result.name == name
    ]
    lacking = [result for result, _ in found if result.status == NOT_RUN]
    failed = any(result.status == "fail" for result, _ in found)
    if not failed and (lacking or len(found) < len(records) or not found):
        return RowCheck(explanation=lacking[0].explanation if lacking else "")
    worst, seed = max(found, key=lambda pair: _excess(pair[0]))
    return RowCheck("fail" if failed else "pass", worst.value, worst.explanation, seed)


def _excess(result: CheckResult) -> float:
    return float("-inf") if result.excess is None else result.excess


def with_status(checks: Mapping[str, RowCheck], status: CheckStatus) -> list[str]:
    """Names of the checks with a status, in the order of the columns."""
    return [name for name, check in checks.items() if check.status == status]


def summary(checks: Mapping[str, RowCheck]) -> str:
    """Summarizes all checks of a row in a few words.

    "pass" only when every one passed; "fail: a+b" names those that failed; "7 of 10 pass" where the others
    were not run; "not run".
    """
    failed, passed = with_status(checks, "fail"), with_status(checks, "pass")
    if failed:
        return f"fail: {'+'.join(failed)}"
    if not passed:
        return NOT_RUN
    return "pass" if len(passed) == len(checks) else f"{len(passed)} of {len(checks)} pass"


def told(checks: Mapping[str, RowCheck]) -> str:
    """Says how many checks a row passes that fails none: "pass", or "11 pass, 3 not run"."""
    passed, lacking = with_status(checks, "pass"), with_status(checks, NOT_RUN)
    return f"{len(passed)} pass, {len(lacking)} not run" if passed and lacking else summary(checks)
