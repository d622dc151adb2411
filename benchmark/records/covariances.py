"""The record of how the scores of a report scatter: covariances, and what each was computed from."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from benchmark.records.record import Record


class Covariances(BaseModel):
    """How the worst cases of rows that are ranked together scatter, as means over training seeds.

    Attributes:
        rows: specs of the rows; without those whose arrays are missing.
        matrix: covariances over draws of the images, (rows, rows).
        freedom: their degrees of freedom.
        own: for each row a variance that it shares with no other, and its degrees of freedom: over k-means
            seeds, where it has one training seed; otherwise 0.
    """

    model_config = ConfigDict(frozen=True)

    rows: list[str] = []
    matrix: list[list[float]] = []
    freedom: int = 1
    own: list[tuple[float, int]] = []


class CovariancesRecord(Record):
    """The covariances that the last report computed.

    Attributes:
        known: by a hash of everything that they were computed from.
    """

    known: dict[str, Covariances]
