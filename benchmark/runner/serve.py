"""A worker's side of its connection to the run: it takes jobs, one at a time, and answers."""

from __future__ import annotations

import faulthandler
import os
import pickle
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from enum import Enum
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from benchmark.core.errors import InterruptedJobError, StopRunError
from benchmark.core.processes import leave_if_forked
from benchmark.jobs import Job, RunContext, run_job
from benchmark.jobs.isolated_start import ForkedProcesses
from benchmark.jobs.job import log_file
from benchmark.jobs.progress import INTERVAL, Progress

DUMP = getattr(signal, "SIGUSR1", None)
"""The signal at which a worker writes into its job's log where it is; None where there is none."""


class Said(Enum):
    """The kinds of answers of a worker."""

    BEGUN = "the job has begun"
    PROGRESS = "how far the job is"
    ENDED = "the job has ended, and has written its records"
    BROKEN = "the job has ended, and could not write its records"
    INTERRUPTED = "the job has saved its state, because the run is being stopped"
    STOP_RUN = "an error that ends the whole run"


class Answer(NamedTuple):
    """An answer of a worker.

    Attributes:
        said: its kind.
        reason: why the job failed, in one line; None where it did not.
        error: the error that ends the run.
        progress: how far the job is; None where nothing new is known.
    """

    said: Said
    reason: str | None = None
    error: BaseException | None = None
    progress: Progress | None = None


class Reporter:
    """Sends the progress of a job, at most once an interval; what happens to it never stops the job.

    Args:
        connection: takes answers.

    Attributes:
        unsent: the latest progress, where it was not sent.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._here = os.getpid()
        self._sent = 0.0
        self.unsent: Progress | None = None

    def __call__(self, progress: Progress) -> None:
        """Sends the progress, unless the last was sent a moment ago."""
        leave_if_forked(self._here)
        self.unsent = progress
        now = time.monotonic()
        if now - self._sent >= INTERVAL:
            self._sent = now
            with suppress(OSError):  # the run has ended, and this process will
                self._connection.send(Answer(Said.PROGRESS, progress=progress))
                self.unsent = None


def serve(connection: Connection) -> None:
    """Runs the jobs that come through a connection, until it is closed.

    Args:
        connection: takes pickled pairs of a job and a context; gives an `Answer` when a job begins,
            some on the way, and one when it has ended.
    """
    with ForkedProcesses() as embed_alone:
        while True:
            try:
                task = connection.recv_bytes()
            except (EOFError, OSError):
                return
            try:
                connection.send(Answer(Said.BEGUN))
                reporter = Reporter(connection)
                found = answer(task, lambda context: context.in_process(embed_alone), report=reporter)
                _send(connection, found._replace(progress=reporter.unsent))
            except ConnectionError:  # the run was killed; what the job wrote is there for the next
                return


def _send(connection: Connection, given: Answer) -> None:
    try:
        connection.send(given)
    except ConnectionError:
        raise
    except Exception as error:  # what cannot be pickled
        connection.send(Answer(Said.BROKEN, f"The job's result cannot be sent: {_line(error)}"))


def answer(
    task: bytes,
    changed: Callable[[RunContext], RunContext] = lambda context: context,
    traced: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Answer:
    """Runs a job, and says how it ended.

    Args:
        task: the pickled pair of the job and the context.
        changed: returns the context that the job gets.
        traced: whether a job that takes longer than it may writes into its log where it is.
        report: called with the progress of the job.
    """
    try:
        job: Job
        context: RunContext
        job, context = pickle.loads(task)
        context = changed(context)
        limit = context.job_timeout if traced else None
        with _log_of_crash(log_file(job.id, context.store), limit):
            return Answer(Said.ENDED, run_job(job, context, report))
    except InterruptedJobError:
        return Answer(Said.INTERRUPTED)
    except StopRunError as error:
        return Answer(Said.STOP_RUN, error=error)
    except (Exception, KeyboardInterrupt) as error:  # what even the job's record could not hold
        return Answer(Said.BROKEN, _line(error))


def _line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".removesuffix(": ").split())


@contextmanager
def _log_of_crash(path: Path, limit: float | None) -> Iterator[None]:
    """Lets a crash, the signal `DUMP` and a time limit write a traceback to a file within the block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("w") as file, ExitStack() as stack:
            faulthandler.enable(file)
            stack.callback(faulthandler.disable)
            if DUMP is not None:
                faulthandler.register(DUMP, file)
                stack.callback(faulthandler.unregister, DUMP)
            if limit is not None:
                faulthandler.dump_traceback_later(limit, file=file)
                stack.callback(faulthandler.cancel_dump_traceback_later)
            yield
    finally:
        if not path.stat().st_size:  # it may hold another traceback now
            path.unlink()
