"""How figures name rows: as tables do, with a dagger where a check fails."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.report.boards import MARK
from benchmark.report.rows import Row
from benchmark.report.style import wrapped

NAMED = 2
"""Rows that a title names; of more it says how many."""


def row_label(row: Row) -> str:
    """The name of a row, in several lines where it is long, with a dagger when the row fails a check."""
    return f"{wrapped(row.name)} {MARK}" if row.failing else wrapped(row.name)


def dagger_note(rows: Sequence[Row]) -> str:
    """Explains the dagger in a sentence that begins with a space; empty where no row has one."""
    return f" {MARK}: fails a check, so its scores are not reliable." if any(r.failing for r in rows) else ""


def seeds_note(rows: Sequence[Row]) -> str:
    """Explains the bars in a sentence that begins with a space; empty where every row has one seed."""
    return " Bars: the lowest and the highest training seed." if any(r.n_seeds > 1 for r in rows) else ""


def reliable(rows: Sequence[Row]) -> list[Row]:
    """The rows that titles speak of: no reference, none without a rank, and none that fails a check.

    Where all fail one, these are spoken of.
    """
    ranked = [row for row in rows if not row.reference and not row.unranked]
    return [row for row in ranked if not row.failing] or ranked


def listed(names: Sequence[str], noun: str) -> str:
    """Names up to two rows, as in "eat and pgd_at"; of more it says how many."""
    return " and ".join(names) if len(names) <= NAMED else f"{len(names)} {noun}s"


def seed_values(row: Row, name: str) -> list[float]:
    """A field of `SeedScores` for each training seed of a row; nan where there is none."""
    return [getattr(seed, name) for seed in row.seeds]
