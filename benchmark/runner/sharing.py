"""Which job is next, where several runs share the work of one output folder."""

from __future__ import annotations

import time
from collections.abc import Sequence

from benchmark.core.output import warn
from benchmark.jobs import Job, Outcome
from benchmark.records import Store
from benchmark.runner.job_queue import JobQueue
from benchmark.runner.leases import Lease, Leases

_LOOK_AGAIN = 1.0
"""Seconds between two looks at the leases of other runs."""


class SharedQueue:
    """Hands out the jobs that no other run works on.

    Args:
        jobs: all jobs.
        queue: their order.
        leases: the leases of this run.
        store: where jobs write their records.
    """

    def __init__(self, jobs: Sequence[Job], queue: JobQueue, leases: Leases, store: Store) -> None:
        self._queue = queue
        self._leases = leases
        self._store = store
        self._before = {job.id: job.outcome(store) for job in jobs}
        self._elsewhere: dict[str, Lease] = {}
        self._looked = 0.0
        self._said: set[str] = set()

    def take(self) -> Job | None:
        """Takes the next job that can start, with its lease; None where there is none at the moment.

        The caller asks `new_outcome` whether another run has ended the job meanwhile.
        """
        if time.monotonic() - self._looked >= _LOOK_AGAIN:
            self._elsewhere.clear()
            self._looked = time.monotonic()
        for index, job in enumerate(self._queue.ready):
            if job.id in self._elsewhere:
                continue
            lease = self._leases.take(job.id)
            if lease is None:
                return self._queue.ready.pop(index)
            self._elsewhere[job.id] = lease
            self._say(lease)
        return None

    def give_back(self, job: Job) -> None:
        """Puts a job back that did not begin; this run keeps its lease."""
        self._queue.put_back(job)

    def release(self, job: Job) -> None:
        """Gives the lease of a job back, which has ended, or not been done."""
        self._leases.release(job.id)

    def new_outcome(self, job: Job) -> Outcome | None:
        """What the records of a job say, if they have been written since this run began."""
        found = job.outcome(self._store)
        return None if found == self._before[job.id] else found

    def _say(self, lease: Lease) -> None:
        if lease.run not in self._said:
            self._said.add(lease.run)
            warn(
                f"Another run (process {lease.pid} on {lease.host}) works in this folder too: the jobs are "
                "shared, and each run waits for those of the other."
            )
