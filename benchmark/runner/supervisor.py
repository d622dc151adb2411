"""The workers of a run: each has one job at a time, and a worker that dies costs that job alone."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import NamedTuple

from benchmark.core.errors import BenchmarkError, StopRunError
from benchmark.jobs import Job, RunContext
from benchmark.jobs.progress import Progress
from benchmark.runner.serve import Answer, Said
from benchmark.runner.worker import Worker
from benchmark.runner.workers import start_worker, worker_environment

_ROUNDS = 3
"""How often, in a row, all workers may end before they begin a job, until the run gives up."""


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
        self._workers: list[Worker] = []
        self._lost: list[Ended] = []
        self._progress: dict[str, tuple[Job, Progress]] = {}
        self._deaths = 0
        self._stack = ExitStack()

    def __enter__(self) -> Supervisor:
        self._stack.enter_context(worker_environment(self._threads))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.kill()
        self._stack.close()

    @property
    def running(self) -> list[Job]:
        """The jobs that have been sent and have not ended."""
        return [worker.job for worker in self._workers if worker.job is not None]

    def new_progress(self) -> list[tuple[Job, Progress]]:
        """Returns how far jobs are that have said so since the last call, each once."""
        latest, self._progress = list(self._progress.values()), {}
        return latest

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

        A worker keeps its device, since a process takes memory on each GPU that it has used.

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
        worker = next((worker for worker in self._workers if worker.can_take(context)), None)
        try:
            if worker is None:
                worker = Worker(*self._start(self._threads))
                self._workers.append(worker)
            worker.job, worker.context, worker.begun = job, context, None
            worker.connection.send_bytes(task)
        except (OSError, EOFError):  # it has ended, or the process that workers are forked from has
            if worker is not None:
                self._remove(worker)
            self._count_death()
            self._lost.append(Ended(job, None))

    def wait(self, timeout: float, also: int | None = None) -> list[Ended]:
        """Waits until a job ends, a worker reports progress, or `also` can be read from.

        Args:
            timeout: seconds to wait, at most.
            also: a file descriptor; None for none.

        Raises:
            StopRunError: that a worker raised.
            BenchmarkError: when worker after worker ends before it begins a job.
        """
        lost, self._lost = self._lost, []
        timeout = 0.0 if lost else max(0.0, min([timeout, *(-late for late in self._lateness())]))
        # Sentinels too, since a process that a job has started may keep the connection open.
        sentinels = [worker.process.sentinel for worker in self._workers if worker.process.exitcode is None]
        others = [] if also is None else [also]
        ready = set(wait([*(worker.connection for worker in self._workers), *sentinels, *others], timeout))
        for worker in list(self._workers):
            if ready & {worker.connection, worker.process.sentinel} and (ended := self._look_at(worker)):
                lost.append(ended)
        return [*lost, *self._end_overdue()]

    def abandon(self, job: Job) -> None:
        """Kills the worker of a running job."""
        for worker in list(self._workers):
            if worker.job is job:
                self._remove(worker)

    def _look_at(self, worker: Worker) -> Ended | None:
        """Reads what a worker says, or finds that it has ended."""
        try:
            while worker.connection.poll():
                answer: Answer = worker.connection.recv()
                if answer.error is not None:
                    raise answer.error
                if answer.progress is not None and worker.job is not None:
                    self._progress[worker.job.id] = worker.job, answer.progress
                if answer.said is Said.BEGUN:
                    worker.begun = time.monotonic()
                    self._deaths = 0
                elif answer.said is not Said.PROGRESS:
                    return self._take(worker, answer)
        except (EOFError, OSError):
            return self._bury(worker)
        except StopRunError:
            raise
        except Exception as error:  # an answer that cannot be read
            return self._take(worker, Answer(Said.BROKEN, f"{type(error).__name__}: {error}"))
        return self._bury(worker) if worker.is_known_dead else None

    def _take(self, worker: Worker, answer: Answer) -> Ended | None:
        self._deaths = 0
        job, worker.job = worker.job, None
        return None if job is None else Ended(job, answer.said, answer.reason)

    def _bury(self, worker: Worker) -> Ended | None:
        """Removes a worker that has ended; another is started when it is needed."""
        how = worker.last_words()
        if worker.job is not None and worker.begun is not None:
            return self._fail(worker, f"The worker died ({how})")
        self._remove(worker)
        if worker.job is None:
            return None
        self._count_death()
        return Ended(worker.job, None)

    def _count_death(self) -> None:
        self._deaths += 1
        if self._deaths >= _ROUNDS * self._size:
            raise BenchmarkError(
                f"{self._deaths} workers in a row ended before they began a job. Is there memory for them, "
                "and room for processes? What was done is kept; the same command resumes from there."
            )

    def _lateness(self) -> list[float]:
        return [late for worker in self._workers if (late := worker.overdue) is not None]

    def _end_overdue(self) -> list[Ended]:
        """Kills the workers whose job takes longer than it may."""
        ended = []
        for worker in [worker for worker in self._workers if (worker.overdue or -1.0) >= 0]:
            worker.dump()
            limit = worker.context.job_timeout if worker.context else None
            took = time.monotonic() - (worker.begun or 0.0)
            ended.append(
                self._fail(worker, f"The job was stopped after {took:.0f} s (--job-timeout {limit:g})")
            )
        return ended

    def _fail(self, worker: Worker, reason: str) -> Ended:
        """Removes a worker with a job that is lost."""
        job, log = worker.job, worker.log()
        assert job is not None
        self._remove(worker)
        return Ended(job, Said.BROKEN, f"{reason} (traceback in {log})." if log else f"{reason}.", log)

    def _remove(self, worker: Worker) -> None:
        worker.kill()
        self._workers.remove(worker)
