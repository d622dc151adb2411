"""Progress: a bar on a terminal, plain lines when piped."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from operator import attrgetter
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmark.jobs import Job
from benchmark.records import Store


def duration(seconds: float) -> str:
    """Formats a time span as a person says it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


Label = Callable[[Job], str]
"""What a job is called."""


class Display(Protocol):
    """Shows how far a run is."""

    def start(self, job: Job) -> None:
        """A job has been handed to a worker."""

    def wait(self, store: Store) -> None:
        """Jobs are still running; their records on disk say how far they are."""

    def finish(self, job: Job, reason: str | None, left: str) -> None:
        """A job is over; `reason` says why it failed, `left` how long the rest will take."""

    def close(self) -> None:
        """The run is over."""


class Silent:
    """Shows nothing."""

    def start(self, job: Job) -> None:
        """Nothing."""

    def wait(self, store: Store) -> None:
        """Nothing."""

    def finish(self, job: Job, reason: str | None, left: str) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Lines:
    """One line for each job that is over, and for each tenth of a long training, for logs.

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
        """Notes the time."""
        self._started[job.id] = time.perf_counter()
        self._running[job.id] = job

    def wait(self, store: Store) -> None:
        """Writes a line for a training that has come a tenth further since its last line."""
        for job in self._running.values():
            epochs = job.progress(store)
            tenth = 10 * epochs.done // epochs.total if epochs.total else 0
            if tenth > self._shown.get(job.id, 0):
                self._shown[job.id] = tenth
                self._say(f"{self._label(job)}{epochs}")

    def finish(self, job: Job, reason: str | None, left: str) -> None:
        """Writes the line."""
        self._done += 1
        self._running.pop(job.id, None)
        took = time.perf_counter() - self._started.pop(job.id, time.perf_counter())
        state = f"done in {duration(took)}" if reason is None else f"FAILED: {reason}"
        self._say(f"{self._label(job)} - {state}{left}")

    def _say(self, line: str) -> None:
        with suppress(BrokenPipeError):  # nobody reads on: no reason to stop working
            sys.stdout.write(f"[{self._done}/{self._total}] {line}\n")
            sys.stdout.flush()

    def close(self) -> None:
        """Nothing is left to do."""


class Bar:
    """A bar with the running jobs, on a terminal.

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
            TextColumn("{task.description}"),
            console=Console(),
        )
        self._task = self._progress.add_task("", total=total, left="")
        self._running: dict[str, Job] = {}
        self._progress.start()

    def _describe(self, store: Store | None = None) -> str:
        return "  |  ".join(
            f"{self._label(job)}{job.progress(store) if store else ''}" for job in self._running.values()
        )

    def start(self, job: Job) -> None:
        """Shows the job."""
        self._running[job.id] = job
        self._progress.update(self._task, description=self._describe())

    def wait(self, store: Store) -> None:
        """Shows how far the jobs are."""
        self._progress.update(self._task, description=self._describe(store))

    def finish(self, job: Job, reason: str | None, left: str) -> None:
        """Moves the bar; a failure stays on the screen."""
        self._running.pop(job.id, None)
        if reason is not None:
            self._progress.console.print(f"FAILED {self._label(job)}: {reason}", markup=False)
        self._progress.update(self._task, advance=1, description=self._describe(), left=left.lstrip("; "))

    def close(self) -> None:
        """Leaves the finished bar."""
        self._progress.stop()


class ProgressReport:
    """Counts what is done, and estimates what is left by its cost.

    Args:
        costs: cost units of each job, by its id.
        shown: whether anything is shown at all.
        store: where running jobs leave how far they are.
        label: names a job.
    """

    def __init__(
        self, costs: Mapping[str, float], shown: bool, store: Store, label: Label = attrgetter("label")
    ) -> None:
        self._store = store
        self._costs = dict(costs)
        self._total = max(1.0, sum(costs.values()))
        self._started = time.perf_counter()
        self._display: Display
        if not shown:
            self._display = Silent()
        else:
            self._display = (Bar if sys.stdout.isatty() else Lines)(len(costs), label)

    def start(self, job: Job) -> None:
        """A job has been handed to a worker."""
        self._display.start(job)

    def wait(self) -> None:
        """No job has come to its end for a while."""
        self._display.wait(self._store)

    def finish(self, job: Job, reason: str | None) -> None:
        """A job is over."""
        self._costs.pop(job.id, None)
        rest = sum(self._costs.values())
        done = self._total - rest
        elapsed = time.perf_counter() - self._started
        left = f"; about {duration(elapsed * rest / done)} left" if done > 0 and self._costs else ""
        self._display.finish(job, reason, left)

    def close(self) -> None:
        """The run is over, or was interrupted."""
        self._display.close()
