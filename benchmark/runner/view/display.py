"""What every display of a run is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from benchmark.jobs import Job
from benchmark.jobs.progress import Progress
from benchmark.runner.view.estimate import Estimate

Label = Callable[[Job], str]
"""Names a job for the display."""


class Overview(NamedTuple):
    """How far a run is.

    Attributes:
        left: the time left.
        share: fraction of its cost units that is done, in [0, 1].
        units_per_second: cost units that it does in a second; None while unknown.
        elapsed: seconds since it began.
    """

    left: Estimate
    share: float = 0.0
    units_per_second: float | None = None
    elapsed: float = 0.0


class Display(Protocol):
    """Shows the progress of a run."""

    def start(self, job: Job) -> None:
        """Notes that a job has been sent to a worker."""

    def report(self, job: Job, progress: Progress) -> None:
        """Notes how far a running job is."""

    def finish(self, job: Job, reason: str | None, overview: Overview) -> None:
        """Shows a job that has ended; `reason` says why it failed."""

    def tick(self, overview: Overview) -> None:
        """Shows how far the run is; called about every second."""

    def close(self, overview: Overview) -> None:
        """Ends the display."""


class Silent:
    """Shows nothing."""

    def start(self, job: Job) -> None:
        """Does nothing."""

    def report(self, job: Job, progress: Progress) -> None:
        """Does nothing."""

    def finish(self, job: Job, reason: str | None, overview: Overview) -> None:
        """Does nothing."""

    def tick(self, overview: Overview) -> None:
        """Does nothing."""

    def close(self, overview: Overview) -> None:
        """Does nothing."""
