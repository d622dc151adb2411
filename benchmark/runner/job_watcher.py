"""What follows the jobs of a run: each that starts and ends, and how far it is."""

from __future__ import annotations

from benchmark.jobs import Job
from benchmark.jobs.progress import Progress


class JobWatcher:
    """Follows the jobs of a run; its methods do nothing, so a subclass has only those that it needs."""

    def start(self, job: Job) -> None:
        """Called when a job is handed to a worker."""

    def report(self, job: Job, progress: Progress) -> None:
        """Called with a running job and how far it is, about every second."""

    def finish(self, job: Job, reason: str | None) -> None:
        """Called with each job that has ended, and the reason when it failed."""

    def wait(self) -> None:
        """Called about every second while jobs run."""


class Watchers(JobWatcher):
    """Several watchers, which are called in order.

    Args:
        watchers: the watchers.
    """

    def __init__(self, *watchers: JobWatcher) -> None:
        self._watchers = watchers

    def start(self, job: Job) -> None:
        """Calls all of them."""
        for watcher in self._watchers:
            watcher.start(job)

    def report(self, job: Job, progress: Progress) -> None:
        """Calls all of them."""
        for watcher in self._watchers:
            watcher.report(job, progress)

    def finish(self, job: Job, reason: str | None) -> None:
        """Calls all of them."""
        for watcher in self._watchers:
            watcher.finish(job, reason)

    def wait(self) -> None:
        """Calls all of them."""
        for watcher in self._watchers:
            watcher.wait()
