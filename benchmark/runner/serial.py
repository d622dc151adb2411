"""Runs jobs one after another in this process, for notebooks and for models that exist only here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch

from benchmark.jobs import Job, RunContext, run_job
from benchmark.jobs.isolated_start import ForkedProcesses
from benchmark.jobs.progress import Progress
from benchmark.runner.job_queue import JobQueue
from benchmark.runner.job_watcher import JobWatcher
from benchmark.runner.workers import threads_of_worker


def run_serially(
    jobs: Sequence[Job],
    costs: Mapping[str, float],
    context: RunContext,
    workers: int,
    watcher: JobWatcher,
) -> None:
    """Runs all jobs in this process, with the threads of a worker, so that the scores are a worker's.

    Args:
        jobs: the jobs; one whose needs are not among them is ready at once.
        costs: cost units of each job, by its id.
        context: the context of the run.
        workers: not used; there is no other process.
        watcher: follows the jobs; its `wait` is called after each job, and when one reports progress.
    """
    queue = JobQueue(jobs, costs)
    with _threads(threads_of_worker(context.device, 1)), ForkedProcesses() as embed_alone:
        context = context.in_process(embed_alone)
        while queue.ready:
            job = queue.ready.pop(0)
            watcher.start(job)

            def report(progress: Progress, job: Job = job) -> None:
                watcher.report(job, progress)
                watcher.wait()

            reason = run_job(job, context, report)
            queue.finish(job, reason, context, watcher)
            watcher.wait()


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
