"""Progress: a bar on a terminal, plain lines when piped."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmark.core.spec import format_value
from benchmark.jobs.attack_job import AttackJob
from benchmark.jobs.train_job import TrainJob
from benchmark.records import CLEAN
from benchmark.runner.executor import Job


def describe(job: Job) -> str:
    """What a job does, in a few words."""
    key = job.key if isinstance(job, TrainJob) else job.model.key
    where = f"{key.dataset} / {key.backbone} / {key.loss} / {key.defense}, seed {key.seed}"
    if isinstance(job, TrainJob):
        return f"{where}: train"
    if job.attack == CLEAN:
        return f"{where}: clean"
    return f"{where}: {job.attack} {job.norm} {format_value(job.eps)}"


def duration(seconds: float) -> str:
    """A time span as a person says it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class Epochs(NamedTuple):
    """How far a training is: epochs done, and all of them."""

    done: int
    total: int

    def __str__(self) -> str:
        return f" (epoch {self.done} of {self.total})" if self.total else ""


Reached = Callable[[Job], Epochs]
"""How far a job is; no epochs of none where nobody knows."""


class Display(Protocol):
    """Shows how far a run is."""

    def start(self, job: Job) -> None:
        """A job has been handed to a worker."""

    def wait(self, reached: Reached) -> None:
        """Jobs go on; `reached` tells how far one is."""

    def finish(self, job: Job, reason: str | None, left: str) -> None:
        """A job is over; `reason` says why it failed, `left` how long the rest will take."""

    def close(self) -> None:
        """The run is over."""


class Silent:
    """Shows nothing."""

    def start(self, job: Job) -> None:
        """Nothing."""

    def wait(self, reached: Reached) -> None:
        """Nothing."""

    def finish(self, job: Job, reason: str | None, left: str) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Lines:
    """One line for each job that is over, and for each tenth of a long training, for logs.

    Args:
        total: number of jobs.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._started: dict[int, float] = {}
        self._running: list[Job] = []
        self._told: dict[int, int] = {}

    def start(self, job: Job) -> None:
        """Notes the time."""
        self._started[id(job)] = time.perf_counter()
        self._running.append(job)

    def wait(self, reached: Reached) -> None:
        """Writes a line for a training that has come a tenth further since the last."""
        for job in self._running:
            epochs = reached(job)
            tenth = 10 * epochs.done // epochs.total if epochs.total else 0
            if tenth > self._told.get(id(job), 0):
                self._told[id(job)] = tenth
                self._say(f"{describe(job)}{epochs}")

    def finish(self, job: Job, reason: str | None, left: str) -> None:
        """Writes the line."""
        self._done += 1
        self._running = [other for other in self._running if other is not job]
        took = time.perf_counter() - self._started.pop(id(job), time.perf_counter())
        state = f"done in {duration(took)}" if reason is None else f"FAILED: {reason}"
        self._say(f"{describe(job)} - {state}{left}")

    def _say(self, line: str) -> None:
        with suppress(BrokenPipeError):  # nobody reads on: no reason to stop working
            sys.stdout.write(f"[{self._done}/{self._total}] {line}\n")
            sys.stdout.flush()

    def close(self) -> None:
        """Nothing is left to do."""


class Bar:
    """A bar with the jobs in hand, on a terminal.

    Args:
        total: number of jobs.
    """

    def __init__(self, total: int) -> None:
        self._progress = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.description}"),
            console=Console(),
        )
        self._task = self._progress.add_task("", total=total, left="")
        self._running: list[Job] = []
        self._progress.start()

    def _describe(self, reached: Reached = lambda job: Epochs(0, 0)) -> str:
        return "  |  ".join(f"{describe(job)}{reached(job)}" for job in self._running)

    def start(self, job: Job) -> None:
        """Shows the job."""
        self._running.append(job)
        self._progress.update(self._task, description=self._describe())

    def wait(self, reached: Reached) -> None:
        """Shows how far the jobs are."""
        self._progress.update(self._task, description=self._describe(reached))

    def finish(self, job: Job, reason: str | None, left: str) -> None:
        """Moves the bar; a failure stays on the screen."""
        self._running = [other for other in self._running if other is not job]
        if reason is not None:
            self._progress.console.print(f"FAILED {describe(job)}: {reason}", markup=False)
        self._progress.update(self._task, advance=1, description=self._describe(), left=left.lstrip("; "))

    def close(self) -> None:
        """Leaves the finished bar."""
        self._progress.stop()


class Progression:
    """Keeps count of what is done, and estimates what is left by its cost in passes.

    Args:
        costs: cost of each job, by `id(job)`.
        shown: whether anything is shown at all.
        reached: tells how far a job is.
    """

    def __init__(self, costs: dict[int, float], shown: bool, reached: Reached) -> None:
        self._reached = reached
        self._costs = dict(costs)
        self._total = max(1.0, sum(costs.values()))
        self._started = time.perf_counter()
        self._display: Display
        if not shown:
            self._display = Silent()
        else:
            self._display = Bar(len(costs)) if sys.stdout.isatty() else Lines(len(costs))

    def start(self, job: AttackJob | TrainJob) -> None:
        """A job has been handed to a worker."""
        self._display.start(job)

    def wait(self) -> None:
        """No job has come to its end for a while."""
        self._display.wait(self._reached)

    def finish(self, job: AttackJob | TrainJob, reason: str | None) -> None:
        """A job is over."""
        self._costs.pop(id(job), None)
        rest = sum(self._costs.values())
        done = self._total - rest
        elapsed = time.perf_counter() - self._started
        left = f"; about {duration(elapsed * rest / done)} left" if done > 0 and self._costs else ""
        self._display.finish(job, reason, left)

    def close(self) -> None:
        """The run is over, or was broken off."""
        self._display.close()
