"""The record of the figures of a report: what they were drawn from."""

from __future__ import annotations

from benchmark.records.record import Record


class FiguresRecord(Record):
    """The figures that the last report drew.

    Attributes:
        inputs: hash of everything that they were drawn from.
        files: hash of each figure's content, by its file name.
    """

    inputs: str
    files: dict[str, str]
