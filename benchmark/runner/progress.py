"""The progress of a run: its jobs on the board, the time left, and who shows them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from operator import attrgetter

from benchmark.core.output import warn
from benchmark.jobs import Job
from benchmark.jobs.progress import Progress
from benchmark.runner.job_watcher import JobWatcher
from benchmark.runner.view.board import Board, State
from benchmark.runner.view.display import Display, Label, Overview, Silent
from benchmark.runner.view.lines import Lines
from benchmark.runner.view.live import LiveView, can_be_live, terminal
from benchmark.runner.view.time_left import JobCost, TimeLeft


class ProgressReport(JobWatcher):
    """Follows the jobs of a run; a display that fails is replaced by plain lines, and never stops the run.

    Args:
        costs: what is known of each job, by its id.
        board: the jobs of the grid.
        workers: how many jobs run side by side.
        shown: whether anything is shown at all.
        label: names a job.
    """

    def __init__(
        self,
        costs: Mapping[str, JobCost],
        board: Board,
        workers: int,
        shown: bool,
        label: Label = attrgetter("label"),
    ) -> None:
        self._left = TimeLeft(costs, workers)
        self._began = time.monotonic()
        self._board = board
        self._label = label
        self._jobs = len(costs)
        self._ended = 0
        self._told: set[str] = set()
        self._display: Display = self._choose() if shown else Silent()

    def _choose(self) -> Display:
        console = terminal()
        if can_be_live(console):
            return LiveView(self._board, self._label, console)
        return Lines(self._jobs, self._label)

    def start(self, job: Job) -> None:
        """Notes that a job has been sent to a worker."""
        self._left.start(job.id)
        self._board.set(job.id, State.RUNNING)
        self._show(lambda display: display.start(job))

    def report(self, job: Job, progress: Progress) -> None:
        """Notes how far a running job is."""
        self._left.report(job.id, progress)
        self._board.report(job.id, progress.share)
        self._show(lambda display: display.report(job, progress))

    def wait(self) -> None:
        """Refreshes the display while jobs run."""
        self._show(lambda display: display.tick(self._overview()))

    def finish(self, job: Job, reason: str | None) -> None:
        """Notes that a job has ended; `reason` says why it failed."""
        self._ended += 1
        self._left.finish(job.id, failed=reason is not None)
        self._board.set(job.id, State.DONE if reason is None else State.FAILED)
        told = None if reason is None else self._tell(reason)
        self._show(lambda display: display.finish(job, told, self._overview()))

    def _tell(self, reason: str) -> str:
        """Shortens the reason of a job that failed with another one, whose own reason was told before."""
        which, _, why = reason.partition(" failed: ")
        known = why in self._told
        self._told.add(reason)
        return f"{which} failed, as said above" if known else reason

    def close(self) -> None:
        """Ends the display, also of an interrupted run."""
        self._show(lambda display: display.close(self._overview()))

    def _overview(self) -> Overview:
        left = self._left
        elapsed = time.monotonic() - self._began
        return Overview(left.estimate(), left.share, left.units_per_second, elapsed)

    def _show(self, action: Callable[[Display], None]) -> None:
        try:
            action(self._display)
        except Exception as error:  # whatever a terminal may do, the run goes on
            broken, self._display = self._display, Lines(self._jobs, self._label, self._ended)
            with suppress(Exception):
                broken.close(self._overview())
            warn(f"The progress cannot be shown as before ({type(error).__name__}: {error}).")
