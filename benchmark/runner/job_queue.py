"""The order of a run's jobs: each after those that it needs, and costly ones first."""

from __future__ import annotations

from bisect import insort_left, insort_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Protocol

from benchmark.jobs import Job, RunContext
from benchmark.runner.job_watcher import JobWatcher


class Executor(Protocol):
    """Runs jobs, each after those that it needs."""

    def __call__(
        self,
        jobs: Sequence[Job],
        costs: Mapping[str, float],
        context: RunContext,
        workers: int,
        watcher: JobWatcher,
    ) -> None:
        """Runs all jobs.

        Args:
            jobs: the jobs; one whose needs are not among them is ready at once.
            costs: cost units of each job, by its id.
            context: the context of the run.
            workers: number of processes, at most.
            watcher: follows the jobs.
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
        ids = {job.id for job in jobs}
        self._missing = {job.id: ids.intersection(job.needs) for job in jobs}
        self._followers: dict[str, list[Job]] = defaultdict(list)
        for job in jobs:
            for needed in self._missing[job.id]:
                self._followers[needed].append(job)
        self.ready = sorted((job for job in jobs if not self._missing[job.id]), key=self._rank)

    def _rank(self, job: Job) -> tuple[bool, float]:
        return bool(job.needs), -self._costs[job.id]

    def put_back(self, job: Job) -> None:
        """Puts a job that was taken from `ready`, and did not start, back into its place."""
        insort_left(self.ready, job, key=self._rank)

    def finish(self, job: Job, reason: str | None, context: RunContext, watcher: JobWatcher) -> None:
        """Notes that a job has ended; jobs that waited for it become ready, or fail with it.

        Args:
            job: the job.
            reason: why it failed; None when it is done.
            context: the context of the run, where the failures of waiting jobs are recorded.
            watcher: is told of this job, and of each that fails with it, directly or through others.
        """
        watcher.finish(job, reason)
        for other in self._followers.pop(job.id, []):
            missing = self._missing.get(other.id)
            if missing is None:  # it has failed with another
                continue
            missing.discard(job.id)
            if reason is None and not missing:
                insort_right(self.ready, other, key=self._rank)
            elif reason is not None:
                del self._missing[other.id]
                why = other.fail(f"{other.needs[job.id]} failed: {reason}", context)
                self.finish(other, why, context, watcher)  # others may need it in turn
