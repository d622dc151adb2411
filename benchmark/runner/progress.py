"""Progress: a bar on a terminal, plain lines when piped."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmark.core.output import is_terminal, printable, safe, say
from benchmark.jobs import Job
from benchmark.records import Store


def duration(seconds: float) -> str:
    """Formats a time span in seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


Label = Callable[[Job], str]
"""Names a job for the display."""


class Display(Protocol):
    """Shows the progress of a run."""

    def start(self, job: Job) -> None:
        """Notes that a job has been sent to a worker."""

    def wait(self, store: Store) -> None:
        """Refreshes the progress of running jobs from their records in the store."""

    def finish(self, job: Job, reason: str | None, left: str) -> None:
        """Shows a finished job; `reason` says why it failed, `left` how long the rest will take."""

    def close(self) -> None:
        """Ends the display."""


class Silent:
    """Shows nothing."""

    def start(self, job: Job) -> None:
        """Does nothing."""

    def wait(self, store: Store) -> None:
        """Does nothing."""

    def finish(self, job: Job, reason: str | None, left: str) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""


class Lines:
    """Writes a line for each finished job, and for each tenth of a long training, for logs.

    Args:
        total: number of jobs.
        label: names a job.
    """

    def __init__(self, total: int, label: Label) -> None:
        self._total = total
        self._label = label
        self._done = 0
        self._started: dict[str, float] = {}
        self._running: dict[str, Job] = {}
        self._shown: dict[str, int] = {}

    def start(self, job: Job) -> None:
        """Notes when a job started."""
        self._started[job.id] = time.perf_counter()
        self._running[job.id] = job

    def wait(self, store: Store) -> None:
        """Writes a line for each training that has advanced by a tenth since its last line."""
        for job in self._running.values():
            epochs = job.progress(store)
            tenth = 10 * epochs.done // epochs.total if epochs.total else 0
            if tenth > self._shown.get(job.id, 0):
                self._shown[job.id] = tenth
                self._say(f"{self._label(job)}{epochs}")

    def finish(self, job: Job, reason: str | None, left: str) -> None:
        """Writes the line of a finished job."""
        self._done += 1
        self._running.pop(job.id, None)
        took = time.perf_counter() - self._started.pop(job.id, time.perf_counter())
        state = f"done in {duration(took)}" if reason is None else f"FAILED: {reason}"
        self._say(f"{self._label(job)} - {state}{left}")

    def _say(self, line: str) -> None:
        say(f"[{self._done}/{self._total}] {line}")

    def close(self) -> None:
        """Does nothing."""


class Bar:
    """Draws a bar with the running jobs, on a terminal.

    Args:
        total: number of jobs.
        label: names a job.
    """

    def __init__(self, total: int, label: Label) -> None:
        self._label = label
        self._progress = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.description}", markup=False),
            console=Console(file=safe(sys.stdout)),
        )
        self._task = self._progress.add_task("", total=total, left="")
        self._running: dict[str, Job] = {}
        self._progress.start()

    def _describe(self, store: Store | None = None) -> str:
        running = "  |  ".join(
            f"{self._label(job)}{job.progress(store) if store else ''}" for job in self._running.values()
        )
        return printable(running)

    def start(self, job: Job) -> None:
        """Adds a job to the display."""
        self._running[job.id] = job
        self._progress.update(self._task, description=self._describe())

    def wait(self, store: Store) -> None:
        """Refreshes the progress of the running jobs."""
        self._progress.update(self._task, description=self._describe(store))

    def finish(self, job: Job, reason: str | None, left: str) -> None:
        """Advances the bar; the line of a failure stays on the screen."""
        self._running.pop(job.id, None)
        if reason is not None:
            self._progress.console.print(printable(f"FAILED {self._label(job)}: {reason}"), markup=False)
        self._progress.update(self._task, advance=1, description=self._describe(), left=left.lstrip("; "))

    def close(self) -> None:
        """Stops the bar, which stays on the screen."""
        self._progress.stop()


class ProgressReport:
    """Counts finished jobs, and estimates the remaining time by the cost of the others.

    Args:
        costs: cost units of each job, by its id.
        shown: whether anything is shown at all.
        store: where running jobs save their progress.
        label: names a job.
    """

    def __init__(
        self, costs: Mapping[str, float], shown: bool, store: Store, label: Label = attrgetter("label")
    ) -> None:
        self._store = store
        self._costs = dict(costs)
        self._rest = sum(costs.values())
        self._total = max(1.0, self._rest)
        self._started = time.perf_counter()
        self._display: Display
        if not shown:
            self._display = Silent()
        else:
            self._display = (Bar if is_terminal(sys.stdout) else Lines)(len(costs), label)

    def start(self, job: Job) -> None:
        """Shows that a job has been sent to a worker."""
        self._display.start(job)

    def wait(self) -> None:
        """Refreshes the display while jobs run."""
        self._display.wait(self._store)

    def finish(self, job: Job, reason: str | None) -> None:
        """Shows a finished job and the remaining time."""
        self._rest -= self._costs.pop(job.id, 0.0)
        rest = max(0.0, self._rest)
        done = self._total - rest
        elapsed = time.perf_counter() - self._started
        left = f"; about {duration(elapsed * rest / done)} left" if done > 0 and self._costs else ""
        self._display.finish(job, reason, left)

    def close(self) -> None:
        """Ends the display, also of an interrupted run."""
        self._display.close()
