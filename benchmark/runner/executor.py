"""Runs jobs on a pool of workers; when a worker dies, only its job fails."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence

from benchmark.core.errors import Stopped
from benchmark.core.output import warn
from benchmark.jobs import Job, RunContext
from benchmark.runner.job_queue import JobQueue
from benchmark.runner.job_watcher import JobWatcher
from benchmark.runner.leases import Leases
from benchmark.runner.pool import LocalPool, Pool
from benchmark.runner.serve import Said
from benchmark.runner.sharing import SharedQueue
from benchmark.runner.stop_signals import StopSignals
from benchmark.runner.supervisor import Ended

_PATIENCE = 1.0
"""Seconds between two refreshes of the display, and between two looks at the jobs of other runs, at most."""


def run_jobs(
    jobs: Sequence[Job],
    costs: Mapping[str, float],
    context: RunContext,
    workers: int,
    watcher: JobWatcher,
) -> None:
    """Runs all jobs, each after the jobs that it needs, and costly ones first.

    Other runs on the same output folder share the work: a job that one of them does counts as done here.

    Args:
        jobs: the jobs; one whose needs are not among them is ready at once.
        costs: cost units of each job, by its id.
        context: the context of the run.
        workers: number of processes.
        watcher: follows the jobs.

    Raises:
        StopRunError: when a worker has other code than this process, or the run cannot continue.
        BenchmarkError: when worker after worker ends before it begins a job.
        Stopped: after SIGINT or SIGTERM, when running jobs have saved their state.
        StoppedAtOnce: after a second.
    """
    run_on_pool(LocalPool(workers, context), jobs, costs, context, watcher)


def run_on_pool(
    pool: Pool,
    jobs: Sequence[Job],
    costs: Mapping[str, float],
    context: RunContext,
    watcher: JobWatcher,
) -> None:
    """Runs all jobs on a pool; other arguments and errors are those of `run_jobs`."""
    queue = JobQueue(jobs, costs)
    with Leases(context.store.root / "leases", context.lease_patience) as leases:
        stop_file = leases.folder / f"{leases.run}.stop"
        context = context.model_copy(update={"stop_file": stop_file})
        shared = SharedQueue(jobs, queue, leases, context.store)
        try:
            with StopSignals() as signals, pool:
                _Execution(queue, shared, pool, signals, context, watcher).run()
            if signals.signum is not None:  # it may have come as late as when the workers ended
                raise Stopped(signals.signum)
        finally:
            stop_file.unlink(missing_ok=True)


class _Execution:
    """The state of a call of `run_on_pool`, which describes the arguments."""

    def __init__(
        self,
        queue: JobQueue,
        shared: SharedQueue,
        pool: Pool,
        signals: StopSignals,
        context: RunContext,
        watcher: JobWatcher,
    ) -> None:
        self._queue = queue
        self._shared = shared
        self._pool = pool
        self._signals = signals
        self._context = context
        self._watcher = watcher
        self._stopping = False
        self._deadlines: dict[str, float] = {}

    def run(self) -> None:
        refreshed = time.monotonic()
        while self._pool.busy or (self._queue.ready and not self._stopping):
            if self._signals.signum is not None and not self._stopping:
                self._stop()
                continue
            if not self._stopping:
                self._send()
            all_ended = self._pool.wait(_PATIENCE, None if self._stopping else self._signals.wakeup)
            for job, progress in self._pool.new_progress():
                self._watcher.report(job, progress)
            for ended in all_ended:
                self._end(ended)
            self._abandon(lambda job: time.monotonic() >= self._deadlines.get(job.id, math.inf))
            if time.monotonic() - refreshed >= _PATIENCE:
                self._watcher.wait()
                refreshed = time.monotonic()

    def _send(self) -> None:
        """Hands jobs to all free workers."""
        while self._pool.free > 0 and (job := self._shared.take()) is not None:
            outcome = self._shared.new_outcome(job)
            if outcome is not None:  # another run has done it
                self._finish(job, outcome.reason)
                continue
            self._pool.send(job, self._context)
            self._watcher.start(job)

    def _end(self, ended: Ended) -> None:
        job, reason = ended.job, ended.reason
        if ended.said is None:
            self._shared.give_back(job)
        elif ended.said is Said.INTERRUPTED:
            self._shared.release(job)
        elif ended.said is Said.BROKEN and not self._is_done(job):
            self._finish(job, job.fail(reason or "", self._context, log=ended.log))
        else:
            self._finish(job, reason if ended.said is Said.ENDED else None)

    def _is_done(self, job: Job) -> bool:
        """Whether a job was done before its worker died."""
        outcome = self._shared.new_outcome(job)
        return outcome is not None and outcome.reason is None

    def _finish(self, job: Job, reason: str | None) -> None:
        self._queue.finish(job, reason, self._context, self._watcher)
        self._shared.release(job)

    def _stop(self) -> None:
        """Lets running jobs save their state where they can, and abandons the others."""
        self._stopping = True
        stop_file = self._context.stop_file
        assert stop_file is not None
        stop_file.touch()
        self._abandon(lambda job: not self._pool.saves(job))
        for job in self._pool.running:
            if job.grace is not None:
                self._deadlines[job.id] = time.monotonic() + job.grace
        saving = len(self._pool.running)
        wait = (
            f" {saving} running jobs save their state, trainings at the end of their epoch; "
            "a second signal stops at once."
        )
        warn(f"Stopping.{wait if saving else ''}")

    def _abandon(self, which: Callable[[Job], bool]) -> None:
        """Ends some of the running jobs, of which nothing is recorded."""
        for job in list(filter(which, self._pool.running)):
            self._pool.abandon(job)
            self._shared.release(job)
