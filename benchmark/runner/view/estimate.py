"""The time that a run has left, in words that are honest."""

from __future__ import annotations

from typing import NamedTuple

NEARLY = 2.0
"""Seconds below which the run is said to be almost done."""


class Estimate(NamedTuple):
    """The time left.

    Attributes:
        seconds: expected; None while unknown.
        most: seconds if every job costs as much as it may; None where that is what is expected.
        known: whether `seconds` is more than a bound.
        over: whether every job has ended.
    """

    seconds: float | None
    most: float | None = None
    known: bool = True
    over: bool = False

    def __str__(self) -> str:
        """The time left as a clause; never "0 s left"."""
        if self.over:
            return "all done"
        if self.seconds is None:
            return "time left unknown yet"
        if max(self.seconds, self.most or 0.0) < NEARLY:
            return "almost done"
        if not self.known:
            return f"at most {duration(self.seconds)} left"
        bound = ""
        if self.most is not None and duration(self.most) != duration(self.seconds):
            bound = f", at most {duration(self.most)}"
        return f"about {duration(max(NEARLY, self.seconds))} left{bound}"


def duration(seconds: float) -> str:
    """Formats a time span in seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
