"""The record of how the scores of a report scatter: covariances, and what each was computed from."""

from __future__ import annotations

from benchmark.records.record import Record


class CovariancesRecord(Record):
    """The covariances that the last report computed.

    Attributes:
        known: for rows that are ranked together, the covariances of their scores over images, (rows, rows),
            and their degrees of freedom, by a hash of everything that they were computed from; no rows where
            arrays were missing.
    """

    known: dict[str, tuple[list[list[float]], int]]
