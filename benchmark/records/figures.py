"""The record of the figures of a report: what each was drawn from."""

from __future__ import annotations

from pydantic import Field

from benchmark.records.record import Record


class FiguresRecord(Record):
    """The figures that the last report drew.

    Attributes:
        inputs: hash of everything that a figure was drawn from, by its file name; also of those that had
            nothing to draw.
        files: hash of each file's content, by its name.
        alt_texts: what each figure says, for readers who do not see it, by its file name.
    """

    inputs: dict[str, str]
    files: dict[str, str]
    alt_texts: dict[str, str] = Field(default_factory=dict)
