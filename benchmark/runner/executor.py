"""Runs jobs on worker processes; when a worker dies, only its job fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack

from pebble import ProcessExpired

from benchmark.core.errors import SourceError
from benchmark.core.hardware import devices_of
from benchmark.jobs import Job, RunContext, run_job
from benchmark.runner.device_dealer import DeviceDealer
from benchmark.runner.job_queue import Finished, JobQueue
from benchmark.runner.workers import worker_pool

_PATIENCE = 5.0
"""Seconds between two refreshes of the display while jobs run."""


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
    queue = JobQueue(jobs, costs)
    running: dict[Future[str | None], tuple[Job, str]] = {}
    refreshed = time.monotonic()
    dealer = DeviceDealer(devices_of(context.device), workers)
    with ExitStack() as stack:
        # A worker keeps its device: a process takes memory on each GPU that it has ever used.
        pools = {
            device: stack.enter_context(worker_pool(device, count, context.workers))
            for device, count in dealer.workers.items()
        }
        while queue.ready or running:
            while queue.ready and len(running) < workers:
                job, device = queue.ready.pop(0), dealer.take()
                given = dealer.context_on(device, context)
                running[pools[device].schedule(run_job, args=(job, given))] = job, device
                on_start(job)
            done, _ = wait(running, _PATIENCE, return_when=FIRST_COMPLETED)
            if time.monotonic() - refreshed >= _PATIENCE:
                on_wait()
                refreshed = time.monotonic()
            for future in done:
                job, device = running.pop(future)
                dealer.give_back(device)
                queue.finish(job, _reason(future, job, context), context, on_finish)


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
