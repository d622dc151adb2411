"""The order of a run's jobs: each after those that it needs, and costly ones first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from benchmark.jobs import Job, RunContext

Finished = Callable[[Job, str | None], None]
"""Called with each finished job, and the reason when it failed."""


class Executor(Protocol):
    """Runs jobs, each after those that it needs."""

    def __call__(
        self,
        jobs: Sequence[Job],
        costs: Mapping[str, float],
        context: RunContext,
        workers: int,
        on_start: Callable[[Job], None],
        on_finish: Finished,
        on_wait: Callable[[], None],
    ) -> None:
        """Runs all jobs.

        Args:
            jobs: the jobs; one whose needs are not among them is ready at once.
            costs: cost units of each job, by its id.
            context: the context of the run.
            workers: number of processes, at most.
            on_start: called when a job starts.
            on_finish: called with each finished job, and the reason when it failed.
            on_wait: called from time to time while jobs run.
        """


class JobQueue:
    """The jobs that have not started: those that can start, and those that wait for others.

    Jobs that need nothing come first, and among equals the costly ones.

    Args:
        jobs: all jobs.
        costs: cost units of each, by its id.

    Attributes:
        ready: the jobs that can start, in order.
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

    def finish(self, job: Job, reason: str | None, context: RunContext, on_finish: Finished) -> None:
        """Notes that a job has ended; jobs that waited for it become ready, or fail with it.

        Args:
            job: the job.
            reason: why it failed; None when it is done.
            context: the context of the run, where the failures of waiting jobs are recorded.
            on_finish: called with this job, and with each that fails with it, directly or through others.
        """
        on_finish(job, reason)
        if reason is None:
            self._unfinished.discard(job.id)
            self._release()
            return
        lost = [other for other in self._blocked if job.id in other.needs]
        self._blocked = [other for other in self._blocked if job.id not in other.needs]
        for other in lost:  # which others may need in turn
            self.finish(
                other, other.fail(f"{other.needs[job.id]} failed: {reason}", context), context, on_finish
            )
