"""What the checks say of a row, over its seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmark.records import CHECKS, CheckRecord, CheckResult, CheckStatus

NOT_RUN: CheckStatus = "not run"


@dataclass(frozen=True)
class RowCheck:
    """One check over the seeds of a row.

    Attributes:
        status: "fail" when it fails for a seed, "pass" when it passes for all, else "not run".
        figure: what decided, in the seed that is furthest beyond its tolerance; None when not run.
        words: the attacks and figures behind it, or what was missing.
        seed: the training seed that the figure is from.
    """

    status: CheckStatus = NOT_RUN
    figure: float | None = None
    words: str = ""
    seed: int | None = None


def over_seeds(records: Sequence[CheckRecord | None]) -> dict[str, RowCheck]:
    """Every check over the seeds of a row, in the protocol's order.

    Args:
        records: of each model of the row; None for one that was not judged.
    """
    return {name: _over_seeds(name, records) for name in CHECKS}


def _over_seeds(name: str, records: Sequence[CheckRecord | None]) -> RowCheck:
    found = [
        (verdict, record.key.seed)
        for record in records
        if record is not None
        for verdict in record.verdicts
        if verdict.name == name
    ]
    lacking = [verdict for verdict, _ in found if verdict.status == NOT_RUN]
    failed = any(verdict.status == "fail" for verdict, _ in found)
    if not failed and (lacking or len(found) < len(records) or not found):
        return RowCheck(words=lacking[0].words if lacking else "")
    worst, seed = max(found, key=lambda pair: _excess(pair[0]))
    return RowCheck("fail" if failed else "pass", worst.figure, worst.words, seed)


def _excess(verdict: CheckResult) -> float:
    return float("-inf") if verdict.excess is None else verdict.excess


def named(verdicts: Mapping[str, RowCheck], status: CheckStatus) -> list[str]:
    """The checks with that status, in the protocol's order."""
    return [name for name, verdict in verdicts.items() if verdict.status == status]


def summary(verdicts: Mapping[str, RowCheck]) -> str:
    """All checks of a row in short.

    "pass" only when every one passed; "fail: a+b" names those that failed; "7 of 10 pass" leaves open what
    the others would have said; "not run".
    """
    failed, passed = named(verdicts, "fail"), named(verdicts, "pass")
    if failed:
        return f"fail: {'+'.join(failed)}"
    if not passed:
        return NOT_RUN
    return "pass" if len(passed) == len(verdicts) else f"{len(passed)} of {len(verdicts)} pass"


def meanings(records: Iterable[CheckRecord | None]) -> dict[str, str]:
    """What each check asks, as its records have it, in the protocol's order."""
    found = {v.name: v.meaning for record in records if record is not None for v in record.verdicts}
    return {name: found[name] for name in CHECKS if name in found}
