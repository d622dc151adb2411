"""The marks beside the names of rows: what a row is, where it is not simply a defense of the project."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.report.escapes import code
from benchmark.report.rows import Row
from benchmark.report.sources import legend, mark

CONTROL, REFERENCE = "control", "reference"


def marks(row: Row) -> list[str]:
    """What stands beside the name of a row, as in ["control of eat"] or ["plugin 1a2b3c4d"]."""
    found = [f"{CONTROL} of {' and '.join(row.control_of)}"] if row.control_of else []
    found += [mark(row.source)] if row.source else []
    return found + ([REFERENCE] if row.reference else [])


def named(row: Row) -> str:
    """Formats a row's name, with its marks beside it."""
    return " ".join([code(row.name), *(f"*{found}*" for found in marks(row))])


def marks_legend(rows: Sequence[Row]) -> str:
    """Explains the marks of some rows in a sentence each; empty when there are none."""
    sentences = []
    if any(row.control_of for row in rows):
        sentences.append(f"*{CONTROL}*: the same without what the defense adds that it is the control of.")
    if any(row.reference for row in rows):
        sentences.append(f"*{REFERENCE}*: shown for comparison, never ranked.")
    if said := legend({row.source for row in rows}):
        sentences.append(said)
    return " ".join(sentences)
