"""What a row is beside its name: its marks, and what the filter of marks finds it by."""

from __future__ import annotations

from benchmark.report.boards import MARK
from benchmark.report.marks import CONTROL, REFERENCE
from benchmark.report.marks import marks as row_marks
from benchmark.report.page.grid import Mark, Value, one_line, spec
from benchmark.report.rows import Row

FAILS = Mark(MARK, "fails a check")


def name(row: Row) -> Value:
    """The name of a row, with its marks."""
    return spec(row.name, marks=marks(row))


def marks(row: Row) -> tuple[Mark, ...]:
    """What stands behind a row's name: what it is, and a dagger when it fails a check."""
    shown = tuple(Mark(one_line(text)) for text in row_marks(row))
    return (*shown, FAILS) if row.failing else shown


def labels(row: Row) -> list[str]:
    """What the filter of marks finds a row by."""
    found = {
        "ranked": row.rank is not None,
        "without a rank": row.rank is None,
        CONTROL: bool(row.control_of),
        REFERENCE: row.reference,
        "plugin": bool(row.source) and not row.own,
        "own model": row.own,
        f"{MARK} {FAILS.meaning}": bool(row.failing),
        "cells without metrics": bool(row.failed),
    }
    return [label for label, holds in found.items() if holds]
