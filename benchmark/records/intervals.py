"""The record of the rank intervals of a report: what each was computed from."""

from __future__ import annotations

from benchmark.records.record import Record


class IntervalsRecord(Record):
    """The rank intervals that the last report computed.

    Attributes:
        ranks: for rows that are ranked together, the lowest and the highest rank of each in the interval,
            by a hash of everything that they were computed from; empty where arrays were missing.
    """

    ranks: dict[str, list[tuple[int, int]]]
