"""Runs jobs one after another in this process, for notebooks and for models that exist only here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch

from benchmark.jobs import Job, RunContext, run_job
from benchmark.jobs.progress import Progress
from benchmark.runner.job_queue import Finished, JobQueue
from benchmark.runner.workers import threads_of_worker


def run_serially(
    jobs: Sequence[Job],
    costs: Mapping[str, float],
    context: RunContext,
    workers: int,
    on_start: Callable[[Job], None],
    on_finish: Finished,
    on_wait: Callable[[], None] = lambda: None,
    on_progress: Callable[[Job, Progress], None] = lambda job, progress: None,
) -> None:
    """Runs all jobs in this process, with the threads of a worker, so that the scores are a worker's.

    Args:
        jobs: the jobs; one whose needs are not among them is ready at once.
        costs: cost units of each job, by its id.
        context: the context of the run.
        workers: not used; there is no other process.
        on_start: called when a job starts.
        on_finish: called with each finished job, and the reason when it failed.
        on_wait: called after each job, and when one reports progress.
        on_progress: called with the running job and how far it is.
    """
    queue = JobQueue(jobs, costs)
    with _threads(threads_of_worker(context.device, 1)):
        while queue.ready:
            job = queue.ready.pop(0)
            on_start(job)

            def report(progress: Progress, job: Job = job) -> None:
                on_progress(job, progress)
                on_wait()

            reason = run_job(job, context, report)
            queue.finish(job, reason, context, on_finish)
            on_wait()


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Sets the number of threads of torch and faiss within the block."""
    import faiss

    before = torch.get_num_threads(), faiss.omp_get_max_threads()
    torch.set_num_threads(count)
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        faiss.omp_set_num_threads(before[1])
