"""Plain lines, for logs and pipes."""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmark.core.output import say
from benchmark.jobs import Job
from benchmark.jobs.progress import Progress
from benchmark.runner.view.display import Label, Overview
from benchmark.runner.view.estimate import duration

QUIET = 30.0
"""Seconds without a line, at most."""

_NAMED = 3
"""Running jobs that a line names, at most."""


class Lines:
    """Writes a line for each job that has ended, for each tenth of others, and at least every 30 s.

    Args:
        total: number of jobs.
        label: names a job.
        done: how many have ended already.
        clock: tells the seconds.
    """

    def __init__(
        self, total: int, label: Label, done: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._total = total
        self._label = label
        self._clock = clock
        self._done = done
        self._failed = 0
        self._said = clock()
        self._started: dict[str, float] = {}
        self._running: dict[str, tuple[Job, Progress]] = {}
        self._shown: dict[str, int] = {}

    def start(self, job: Job) -> None:
        """Notes when a job started."""
        self._started[job.id] = self._clock()
        self._running[job.id] = job, Progress()

    def report(self, job: Job, progress: Progress) -> None:
        """Writes a line for a job that has advanced by a tenth since its last line."""
        if job.id not in self._running:
            return
        self._running[job.id] = job, progress
        tenth = 10 * progress.done // progress.total if progress.total else 0
        if job.resumable and tenth > self._shown.get(job.id, 0):
            self._shown[job.id] = tenth
            self._say(f"{self._label(job)} ({progress})")

    def finish(self, job: Job, reason: str | None, overview: Overview) -> None:
        """Writes the line of a job that has ended."""
        self._done += 1
        self._failed += reason is not None
        self._running.pop(job.id, None)
        now = self._clock()
        took = now - self._started.pop(job.id, now)
        state = f"done in {duration(took)}" if reason is None else f"FAILED: {reason}"
        left = f"; {overview.left}" if self._done < self._total else ""
        self._say(f"{self._label(job)} - {state}{left}")

    def tick(self, overview: Overview) -> None:
        """Writes what runs, where nothing was written for a while."""
        if self._clock() - self._said < QUIET:
            return
        named = [
            f"{self._label(job)}{f' ({progress})' if progress.total else ''}"
            for job, progress in list(self._running.values())[:_NAMED]
        ]
        more = len(self._running) - len(named)
        running = ", ".join([*named, *([f"{more} more"] if more else [])]) or "nothing, waiting"
        failed = f", {self._failed} failed" if self._failed else ""
        self._say(f"running: {running}{failed}; {overview.left}")

    def _say(self, line: str) -> None:
        self._said = self._clock()
        say(f"[{self._done}/{self._total}] {line}")

    def close(self, overview: Overview) -> None:
        """Does nothing."""
