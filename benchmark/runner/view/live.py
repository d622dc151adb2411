"""The live view on a terminal: the grid, the running jobs, the speed and the time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from benchmark.core.output import is_terminal, printable, safe
from benchmark.jobs import Job
from benchmark.jobs.progress import Progress
from benchmark.runner.view.board import Board, State
from benchmark.runner.view.display import Label, Overview
from benchmark.runner.view.estimate import Estimate, duration
from benchmark.runner.view.fit import ASCII_SYMBOLS, STYLES, SYMBOLS, board_lines

REDRAWN = 0.25
"""Seconds between two drawings, at least."""

_RUNNING = 0.4
"""Part of the lines that running jobs may take, as long as the board needs them."""

_LABEL = 12
"""Width that the label of a running job keeps, at least."""


def can_be_live(console: Console) -> bool:
    """Whether a console is a terminal that can draw over what it has shown."""
    return console.is_terminal and not console.is_dumb_terminal


def terminal() -> Console:
    """The console on stdout."""
    return Console(file=safe(sys.stdout), highlight=False)


class LiveView:
    """Draws the state of a run over and over in the same place; failures stay above it.

    Args:
        board: the jobs of the grid; whoever makes this keeps it up to date.
        label: names a job.
        console: where to draw.
        clock: tells the seconds.
    """

    def __init__(
        self,
        board: Board,
        label: Label,
        console: Console,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._board = board
        self._label = label
        self._console = console
        self._clock = clock
        self._running: dict[str, tuple[Job, float, Progress]] = {}
        self._overview = Overview(Estimate(None))
        self._drawn = 0.0
        self._size = console.size
        self._live = self._begin()

    def start(self, job: Job) -> None:
        """Adds a running job."""
        self._running[job.id] = job, self._clock(), Progress()
        self._draw()

    def report(self, job: Job, progress: Progress) -> None:
        """Shows how far a running job is."""
        if job.id in self._running:
            self._running[job.id] = *self._running[job.id][:2], progress
            self._draw()

    def finish(self, job: Job, reason: str | None, overview: Overview) -> None:
        """Removes a running job; the line of a failure stays on the screen."""
        self._running.pop(job.id, None)
        self._overview = overview
        if reason is not None:
            self._console.print(Text(printable(f"FAILED {self._label(job)}: {reason}")), soft_wrap=True)
        self._draw()

    def tick(self, overview: Overview) -> None:
        """Draws what has changed, and all of it anew after the terminal was resized."""
        self._overview = overview
        if self._console.size != self._size:
            self._size = self._console.size
            # What was drawn for the other size is anywhere now.
            self._live.transient = True
            self._live.stop()
            self._console.clear()
            self._live = self._begin()
        self._draw(force=True)

    def close(self, overview: Overview) -> None:
        """Draws the end, which stays on the screen."""
        self._overview = overview
        try:
            self._draw(force=True)
        finally:
            self._live.stop()

    def _begin(self) -> Live:
        live = Live(
            self,
            console=self._console,
            auto_refresh=False,
            vertical_overflow="crop",
            redirect_stderr=is_terminal(sys.stderr),
        )
        live.start()
        return live

    def _draw(self, force: bool = False) -> None:
        now = self._clock()
        if force or now - self._drawn >= REDRAWN:
            self._drawn = now
            self._live.refresh()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yields the lines, no more than the terminal has."""
        width, height = options.max_width, max(1, options.size.height - 1)
        for line in self.lines(width, height, options.ascii_only):
            line.no_wrap, line.overflow = True, "crop"
            line.truncate(width)
            yield line

    def lines(self, width: int, height: int, ascii_only: bool = False) -> list[Text]:
        """Renders the view.

        Args:
            width: columns that a line may have.
            height: lines that there may be.
            ascii_only: whether only ASCII can be shown.
        """
        head = [Text(self._speed()), self._totals(ascii_only)][:height]
        room = height - len(head)
        least = min(len(self._running), max(1, int(_RUNNING * room)))
        board = board_lines(self._board, width, room - least, ascii_only)
        return [*head, *board, *self._running_lines(width, room - len(board))]

    def _speed(self) -> str:
        overview = self._overview
        speed = overview.units_per_second
        parts = [f"{int(100 * overview.share)} % in {duration(overview.elapsed)}", str(overview.left)]
        return ", ".join([*parts, *([] if speed is None else [f"{speed:,.0f} cost units/s"])])

    def _totals(self, ascii_only: bool) -> Text:
        """How many jobs there are of each state, with the symbols that the board uses."""
        symbols = ASCII_SYMBOLS if ascii_only else SYMBOLS
        tally = self._board.tally()
        counted = [
            Text(f"{symbols[state]} {tally.counts[state]:,} {state.value}", STYLES[state])
            for state in State
            if tally.counts[state]
        ]
        return Text("  ").join([Text(f"{tally.total:,} jobs:"), *counted])

    def _running_lines(self, width: int, room: int) -> list[Text]:
        """A line for each running job, and one for those that there is no room for."""
        jobs = list(self._running.values())
        shown = jobs if len(jobs) <= room else jobs[: max(0, room - 1)]
        lines = []
        for job, started, progress in shown:
            label = Text(printable(self._label(job)), STYLES[State.RUNNING])
            far = f"  {progress}" if progress.total else ""
            took = f"  {duration(self._clock() - started)}"
            label.truncate(max(_LABEL, width - len(far) - len(took)), overflow="ellipsis")
            lines.append(label.append(far, "not bold default").append(took, "dim"))
        if len(shown) < len(jobs) and room > 0:
            lines.append(Text(f"{len(jobs) - len(shown)} {'more run' if shown else 'jobs run'}", "dim"))
        return lines
