"""Which differences of rows are more than chance: of the images, of the training seeds and of k-means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.special import stdtrit

from benchmark.records.covariances import Covariances

CONFIDENCE = 0.95
"""With which a settled difference is no chance, each by itself."""


@dataclass(frozen=True)
class Differences:
    """The differences of the rows of a table in the worst case of a metric.

    Attributes:
        scores: of each row, by its spec: one for each training seed.
        scatter: how the means over seeds scatter over images; of the same rows, in the same order.
    """

    scores: dict[str, Sequence[float]]
    scatter: Covariances

    def settled(self, one: str, other: str) -> bool | None:
        """Whether the means of two rows differ by more than chance; None where that cannot be said.

        Args:
            one: the spec of a row.
            other: that of another.
        """
        if one not in self.scores or other not in self.scores:
            return None
        places = list(self.scores)
        i, j = places.index(one), places.index(other)
        matrix, own = self.scatter.matrix, self.scatter.own
        images = max(0.0, matrix[i][i] + matrix[j][j] - 2 * matrix[i][j])
        parts = [(images, self.scatter.freedom), own[i], own[j]]
        return is_settled(self.scores[one], self.scores[other], parts)


def is_settled(one: Sequence[float], other: Sequence[float], parts: Sequence[tuple[float, int]] = ()) -> bool:
    """Whether the means of two samples differ by more than chance, at 95 %.

    It is Welch's t-test with further parts of the variance of the difference of the means, and the degrees of
    freedom of Satterthwaite (1946): a bootstrap over three seeds would find every fourth difference of equals
    settled. A sample of one value is taken as exact.

    Args:
        one: a sample, one value for each training seed.
        other: the other.
        parts: further variances of the difference, as that over images, each with its degrees of freedom.
    """
    of_seeds = [
        (float(np.var(sample, ddof=1)) / len(sample), len(sample) - 1)
        for sample in (one, other)
        if len(sample) > 1
    ]
    known = [(variance, freedom) for variance, freedom in (*parts, *of_seeds) if variance > 0]
    difference = abs(float(np.mean(one)) - float(np.mean(other)))
    if not known:
        return difference > 0
    whole = sum(variance for variance, _ in known)
    degrees = whole**2 / sum(variance**2 / freedom for variance, freedom in known)
    return difference > float(stdtrit(degrees, (1 + CONFIDENCE) / 2)) * sqrt(whole)
