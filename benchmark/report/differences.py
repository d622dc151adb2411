"""Which differences of rows are more than chance: of the images, of the training seeds and of k-means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.special import stdtrit

CONFIDENCE = 0.95
"""With which a settled difference is no chance, each by itself."""


@dataclass(frozen=True)
class Differences:
    """The differences of the rows of a table in the worst case of a metric.

    Attributes:
        scores: of each row, by its spec: one for each training seed.
        covariance: of the rows' means over seeds, over draws of the images; in the order of `scores`.
        freedom: its degrees of freedom.
    """

    scores: dict[str, Sequence[float]]
    covariance: np.ndarray
    freedom: int

    def settled(self, one: str, other: str) -> bool | None:
        """Whether the means of two rows differ by more than chance; None where that cannot be said.

        Args:
            one: the spec of a row.
            other: that of another.
        """
        if one not in self.scores or other not in self.scores:
            return None
        places = list(self.scores)
        pair = [places.index(one), places.index(other)]
        part = self.covariance[np.ix_(pair, pair)]
        variance = float(part[0, 0] + part[1, 1] - 2 * part[0, 1])
        return is_settled(self.scores[one], self.scores[other], max(0.0, variance), self.freedom)


def is_settled(one: Sequence[float], other: Sequence[float], variance: float = 0.0, freedom: int = 1) -> bool:
    """Whether the means of two samples differ by more than chance, at 95 %.

    It is Welch's t-test with a further variance of the difference of the means, and the degrees of freedom of
    Satterthwaite (1946): a bootstrap over three seeds would find every fourth difference of equals settled.
    A sample of one value is taken as exact.

    Args:
        one: a sample, one value for each training seed.
        other: the other.
        variance: a variance that the values of either sample share, as that over images.
        freedom: its degrees of freedom.
    """
    parts = [(variance, freedom)]
    parts += [
        (float(np.var(sample, ddof=1)) / len(sample), len(sample) - 1)
        for sample in (one, other)
        if len(sample) > 1
    ]
    whole = sum(part for part, _ in parts)
    difference = abs(float(np.mean(one)) - float(np.mean(other)))
    if whole == 0.0:
        return difference > 0.0
    degrees = whole**2 / sum(part**2 / free for part, free in parts)
    return difference > float(stdtrit(degrees, (1 + CONFIDENCE) / 2)) * sqrt(whole)
