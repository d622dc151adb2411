"""The scores on the validation classes, by which the epoch to keep is chosen."""

from __future__ import annotations

from benchmark.records.record import Record


class ValidationResult(Record):
    """Scores on the validation classes after an epoch.

    Attributes:
        epoch: from 1.
        clean_map_r, attacked_map_r: mAP@R without and under the validation attack, as fractions.
    """

    epoch: int
    clean_map_r: float
    attacked_map_r: float

    @property
    def score(self) -> float:
        """The mean of both, by which the epoch is chosen.

        mAP@R, because R@1 among the few images of a validation split is soon 1. Under attack alone the epoch
        of a defense that does not withstand it would be left to chance, and be one at the beginning.
        """
        return (self.clean_map_r + self.attacked_map_r) / 2
