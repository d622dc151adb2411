"""Runs jobs on worker processes; when a worker dies, only its job fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait

from pebble import ProcessExpired

from benchmark.core.errors import SourceError
from benchmark.jobs import Job, RunContext, run_job
from benchmark.runner.workers import worker_pool

Finished = Callable[[Job, str | None], None]

_PATIENCE = 5.0
"""Seconds between two refreshes of the display while jobs run."""


class _Queue:
    """The jobs that have not started: those that can start, and those that wait for trainings.

    Jobs that need nothing come first, and among equals the costly ones.

    Args:
        jobs: all jobs.
        costs: cost units of each, by its id.
    """

    def __init__(self, jobs: Sequence[Job], costs: Mapping[str, float]) -> None:
        self._costs = costs
        self._unfinished = {job.id for job in jobs}
        self._blocked = list(jobs)
        self.ready: list[Job] = []
        self._release()

    def _release(self) -> None:
        free = [job for job in self._blocked if self._unfinished.isdisjoint(job.needs)]
        self._blocked = [job for job in self._blocked if not self._unfinished.isdisjoint(job.needs)]
        self.ready = sorted([*self.ready, *free], key=lambda job: (bool(job.needs), -self._costs[job.id]))

    def succeeded(self, job: Job) -> None:
        """Marks a job as done, and makes the jobs ready that waited only for it."""
        self._unfinished.discard(job.id)
        self._release()

    def failed(self, job: Job) -> list[Job]:
        """Removes and returns the jobs that need a job that failed; those that need these are left."""
        lost = [other for other in self._blocked if job.id in other.needs]
        self._blocked = [other for other in self._blocked if job.id not in other.needs]
        return lost


def run_jobs(
    jobs: Sequence[Job],
    costs: Mapping[str, float],
    context: RunContext,
    workers: int,
    on_start: Callable[[Job], None],
    on_finish: Finished,
    on_wait: Callable[[], None] = lambda: None,
) -> None:
    """Runs all jobs, each after the jobs that it needs, and costly ones first.

    Args:
        jobs: the jobs; one whose needs are not among them is ready at once.
        costs: cost units of each job, by its id.
        context: the context of the run.
        workers: number of processes.
        on_start: called when a job is handed to a worker.
        on_finish: called with each finished job, and the reason when it failed.
        on_wait: called every few seconds.

    Raises:
        SourceError: when a worker has other code than this process.
    """
    queue = _Queue(jobs, costs)
    running: dict[Future[str | None], Job] = {}
    refreshed = time.monotonic()
    with worker_pool(context.device, workers, context.workers) as pool:
        while queue.ready or running:
            while queue.ready and len(running) < workers:
                job = queue.ready.pop(0)
                running[pool.schedule(run_job, args=(job, context))] = job
                on_start(job)
            done, _ = wait(running, _PATIENCE, return_when=FIRST_COMPLETED)
            if time.monotonic() - refreshed >= _PATIENCE:
                on_wait()
                refreshed = time.monotonic()
            for future in done:
                job = running.pop(future)
                reason = _reason(future, job, context)
                on_finish(job, reason)
                if reason is None:
                    queue.succeeded(job)
                    continue
                failures = [(job, reason)]
                for failed, why in failures:  # grows: a job that is lost may be needed by others
                    for lost in queue.failed(failed):
                        failures.append((lost, lost.fail(f"{lost.needs[failed.id]} failed: {why}", context)))
                        on_finish(*failures[-1])


def _reason(future: Future[str | None], job: Job, context: RunContext) -> str | None:
    """Returns why a finished job failed, or None; records the failures of dead workers."""
    try:
        return future.result()
    except SourceError:
        raise  # no record: the run itself is at fault, and ends
    except ProcessExpired as error:
        return job.fail(f"The worker died (exit code {error.exitcode}); out of memory?", context)
    except Exception as error:  # what could not travel back from the worker
        return job.fail(f"{type(error).__name__}: {error}", context)
