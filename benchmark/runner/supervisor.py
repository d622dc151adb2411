"""The workers of a run: each has one job at a time, and a worker that dies costs that job alone."""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from benchmark.core.errors import BenchmarkError
from benchmark.jobs import Job, RunContext
from benchmark.jobs.job import log_file
from benchmark.runner.serve import DUMP, Answer, Said
from benchmark.runner.workers import start_worker, worker_environment

_ROUNDS = 3
"""How often, in a row, all workers may end before they begin a job, until the run gives up."""

_DUMP_SECONDS = 1.0
"""Time for a worker that is about to be killed to write where it is."""

_UNKNOWN = 255
"""The exit code that is reported when the process that workers are forked from has ended itself."""


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    job: Job | None = None
    context: RunContext | None = None
    begun: float | None = None


class Ended(NamedTuple):
    """A job that a worker no longer works on.

    Attributes:
        job: the job.
        said: how it ended; None where the worker died before it began, so that the job is to be sent again.
        reason: why it failed; None where it did not. Recorded by the job itself where `said` is `ENDED`.
        log: path of a file that says more, relative to the output folder; or empty.
    """

    job: Job
    said: Said | None
    reason: str | None = None
    log: str = ""


class Supervisor:
    """Keeps worker processes, and sends each one job at a time; all are killed after the `with` block.

    Args:
        size: number of workers, at most; each is started when it is needed.
        threads: threads of each.
        start: starts a worker.
    """

    def __init__(
        self,
        size: int,
        threads: int,
        start: Callable[[int], tuple[BaseProcess, Connection]] = start_worker,
    ) -> None:
        self._size = size
        self._threads = threads
        self._start = start
        self._workers: list[_Worker] = []
        self._lost: list[Ended] = []
        self._deaths = 0
        self._stack = ExitStack()

    def __enter__(self) -> Supervisor:
        self._stack.enter_context(worker_environment(self._threads))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            _kill(worker)
        self._stack.close()

    @property
    def running(self) -> list[Job]:
        """The jobs that have been sent and have not ended."""
        return [worker.job for worker in self._workers if worker.job is not None]

    @property
    def busy(self) -> bool:
        """Whether `wait` has jobs to report, now or later."""
        return bool(self._lost or self.running)

    @property
    def free(self) -> int:
        """How many more jobs can be sent now."""
        return self._size - len(self.running) - len(self._lost)

    def send(self, job: Job, context: RunContext) -> None:
        """Sends a job to a free worker; how it ends is what `wait` returns.

        Args:
            job: the job.
            context: the context of the run, with the device that this job goes to.

        Raises:
            BenchmarkError: when worker after worker ends before it begins a job.
        """
        try:
            task = pickle.dumps((job, context))
        except Exception as error:
            reason = f"The job cannot be sent to a worker: {type(error).__name__}: {error}"
            self._lost.append(Ended(job, Said.BROKEN, reason))
            return
        worker = next((worker for worker in self._workers if worker.job is None), None)
        try:
            if worker is None:
                worker = _Worker(*self._start(self._threads))
                self._workers.append(worker)
            worker.job, worker.context, worker.begun = job, context, None
            worker.connection.send_bytes(task)
        except (OSError, EOFError):  # it has ended, or the process that workers are forked from has
            if worker is not None:
                self._remove(worker)
            self._count_death()
            self._lost.append(Ended(job, None))

    def wait(self, timeout: float, also: int | None = None) -> list[Ended]:
        """Waits until a job ends or `also` can be read from.

        Args:
            timeout: seconds to wait, at most.
            also: a file descriptor; None for none.

        Raises:
            StopRunError: that a worker raised.
            BenchmarkError: when worker after worker ends before it begins a job.
        """
        lost, self._lost = self._lost, []
        timeout = 0.0 if lost else min([timeout, *self._times_left()])
        # Sentinels too, since a process that a job has started may keep the connection open.
        watched = {worker.process.sentinel for worker in self._workers if worker.process.exitcode is None}
        others = [] if also is None else [also]
        ready = set(wait([*(w.connection for w in self._workers), *watched, *others], timeout))
        ended = [
            found
            for worker in list(self._workers)
            if ready & {worker.connection, worker.process.sentinel} and (found := self._look_at(worker))
        ]
        return [*lost, *ended, *self._overdue()]

    def abandon(self, job: Job) -> None:
        """Kills the worker of a running job."""
        for worker in list(self._workers):
            if worker.job is job:
                self._remove(worker)

    def _look_at(self, worker: _Worker) -> Ended | None:
        """Reads what a worker says, or finds that it has ended."""
        try:
            while worker.connection.poll():
                answer: Answer = worker.connection.recv()
                if answer.error is not None:
                    raise answer.error
                if answer.said is not Said.BEGUN:
                    return self._take(worker, answer)
                worker.begun = time.monotonic()
        except (EOFError, OSError):
            worker.process.join(1.0)  # its exit code comes a little later
        except Exception as error:  # an answer that cannot be read
            if worker.job is None or isinstance(error, BenchmarkError):
                raise
            return self._take(worker, Answer(Said.BROKEN, f"{type(error).__name__}: {error}"))
        else:
            if worker.process.exitcode in (None, _UNKNOWN):  # its connection ends when it does
                return None
        return self._bury(worker)

    def _take(self, worker: _Worker, answer: Answer) -> Ended | None:
        self._deaths = 0
        job, worker.job = worker.job, None
        return None if job is None else Ended(job, answer.said, answer.reason)

    def _bury(self, worker: _Worker) -> Ended | None:
        """Removes a worker that has ended; another is started when it is needed."""
        self._remove(worker)
        if worker.job is None:
            return None
        if worker.begun is None:
            self._count_death()
            return Ended(worker.job, None)
        how = _describe(worker.process.exitcode)
        return self._failed(worker, f"The worker died ({how})")

    def _count_death(self) -> None:
        self._deaths += 1
        if self._deaths >= _ROUNDS * self._size:
            raise BenchmarkError(
                f"{self._deaths} workers in a row ended before they began a job. Is there memory and room for "
                "processes? What was done is kept; the same command resumes from there."
            )

    def _times_left(self) -> list[float]:
        return [
            max(0.0, worker.begun + worker.context.job_timeout - time.monotonic())
            for worker in self._workers
            if worker.job and worker.context and worker.begun and worker.context.job_timeout is not None
        ]

    def _overdue(self) -> list[Ended]:
        """Kills the workers whose job has taken longer than it may."""
        ended = []
        for worker in list(self._workers):
            limit = worker.context.job_timeout if worker.context else None
            if worker.job is None or limit is None or worker.begun is None:
                continue
            took = time.monotonic() - worker.begun
            if took >= limit:
                _dump(worker)
                self._remove(worker)
                ended.append(
                    self._failed(worker, f"The job was stopped after {took:.0f} s (--job-timeout {limit:g})")
                )
        return ended

    def _failed(self, worker: _Worker, reason: str) -> Ended:
        assert worker.job is not None
        path, output = _log(worker)
        if not _has_text(path):
            path.unlink(missing_ok=True)
            return Ended(worker.job, Said.BROKEN, f"{reason}.")
        name = path.relative_to(output).as_posix()
        return Ended(worker.job, Said.BROKEN, f"{reason} (traceback in {name}).", name)

    def _remove(self, worker: _Worker) -> None:
        _kill(worker)
        self._workers.remove(worker)


def _describe(code: int | None) -> str:
    """Describes how a process ended."""
    if code is None or code == _UNKNOWN:
        return "for an unknown reason"
    if code >= 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"killed by {name}; out of memory?" if name == "SIGKILL" else f"killed by {name}"


def _log(worker: _Worker) -> tuple[Path, Path]:
    """The log of a worker's job, and the output folder."""
    assert worker.job is not None and worker.context is not None
    return log_file(worker.job.id, worker.context.store), worker.context.output


def _has_text(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def _dump(worker: _Worker) -> None:
    """Lets a worker write where it is into its job's log."""
    if DUMP is None or worker.process.pid is None:
        return
    with suppress(OSError):
        os.kill(worker.process.pid, DUMP)
    deadline = time.monotonic() + _DUMP_SECONDS
    while not _has_text(_log(worker)[0]) and time.monotonic() < deadline:
        time.sleep(0.02)


def _kill(worker: _Worker) -> None:
    """Ends a worker at once."""
    code = worker.process.exitcode
    if worker.process.pid is not None and (
        code is None or (code == _UNKNOWN and _is_open(worker.connection))
    ):
        # Not Process.kill, which does nothing where the exit code is unknown.
        with suppress(OSError):
            os.kill(worker.process.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        worker.process.join(5.0)
    worker.connection.close()


def _is_open(connection: Connection) -> bool:
    """Whether the other end of a connection is there."""
    try:
        while connection.poll():
            connection.recv_bytes()
    except (EOFError, OSError):
        return False
    return True
