"""Runs jobs on worker processes; a worker that dies takes one job with it, not the run."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess

import torch
from pebble import ProcessExpired, ProcessPool

from benchmark.core.cpu import cores
from benchmark.jobs.attack_job import AttackJob
from benchmark.jobs.job import execute, fail_cells, fail_training
from benchmark.jobs.train_job import RunContext, TrainJob

Job = TrainJob | AttackJob
Finished = Callable[[Job, str | None], None]
_PATIENCE = 5.0
"""Seconds after which whoever waits is told that jobs go on."""

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def threads_of_worker(device: str, workers: int) -> int:
    """Threads of each of some worker processes.

    One on the CPU: two such processes are faster than one with two, and sums are taken in one order. Beside a
    GPU, where there is one worker or few, their equal part of the cores: scores are reckoned on these.
    """
    if torch.device(device).type == "cpu":
        return 1
    return max(1, cores() // workers)


def _start_worker(threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    parent = multiprocessing.parent_process()
    if parent is not None:  # else a worker would outlive a run that was killed, until its job is done
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    import faiss

    torch.set_num_threads(threads)
    faiss.omp_set_num_threads(threads)


def _context() -> BaseContext:
    """Forks workers from a process that has imported everything once; spawns where that cannot be."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmark.jobs.job"])
    return context


def _fail(job: Job, reason: str, place: RunContext) -> str:
    return fail_training(job, reason, place) if isinstance(job, TrainJob) else fail_cells(job, reason, place)


def _training_failed(job: AttackJob, training: TrainJob, reason: str) -> str:
    whose = "" if training.id == job.model.id else f" of {training.key.defense}, the source of this attack,"
    return f"training{whose} failed: {reason}"


def run_jobs(
    trainings: list[TrainJob],
    attacks: list[AttackJob],
    cost: Callable[[Job], float],
    place: RunContext,
    workers: int,
    on_start: Callable[[Job], None],
    on_finish: Finished,
    on_wait: Callable[[], None] = lambda: None,
) -> None:
    """Runs every job, trainings before the attacks that need them, costly ones first.

    Args:
        trainings: models to be trained.
        attacks: attacks; one whose models are not among `trainings` is ready at once.
        cost: units that a job will take.
        place: where jobs run and write.
        workers: number of processes.
        on_start: called when a job is handed to a worker.
        on_finish: called with each job that is over, and the reason when it failed.
        on_wait: called every few seconds.
    """
    missing = {job.id for job in trainings}

    def waits(job: AttackJob) -> bool:
        return any(training.id in missing for training in job.trainings)

    ready: list[Job] = [*trainings, *(job for job in attacks if not waits(job))]
    blocked = [job for job in attacks if waits(job)]

    def order(job: Job) -> tuple[bool, float]:
        return isinstance(job, AttackJob), -cost(job)

    ready.sort(key=order)
    running: dict[Future[str | None], Job] = {}
    # Set for the children, which read them when they import their libraries.
    before = {name: os.environ.get(name) for name in _THREADS}
    threads = threads_of_worker(place.device, place.workers)
    os.environ.update(dict.fromkeys(_THREADS, str(threads)))
    pool = ProcessPool(
        max_workers=workers, context=_context(), initializer=_start_worker, initargs=(threads,)
    )
    told = time.monotonic()
    try:
        while ready or running:
            while ready and len(running) < workers:
                job = ready.pop(0)
                running[pool.schedule(execute, args=(job, place))] = job
                on_start(job)
            done, _ = wait(running, _PATIENCE, return_when=FIRST_COMPLETED)
            if time.monotonic() - told >= _PATIENCE:
                on_wait()
                told = time.monotonic()
            for future in done:
                job = running.pop(future)
                try:
                    reason = future.result()
                except ProcessExpired as error:
                    reason = _fail(
                        job, f"The worker died (exit code {error.exitcode}); out of memory?", place
                    )
                except Exception as error:  # what could not travel back from the worker
                    reason = _fail(job, f"{type(error).__name__}: {error}", place)
                on_finish(job, reason)
                if isinstance(job, TrainJob):
                    if reason is None:
                        missing.discard(job.id)
                        free = [other for other in blocked if not waits(other)]
                        ready = sorted([*ready, *free], key=order)
                        blocked = [other for other in blocked if waits(other)]
                        continue
                    lost = [other for other in blocked if job.id in [needed.id for needed in other.trainings]]
                    blocked = [other for other in blocked if other not in lost]
                    for other in lost:
                        on_finish(other, fail_cells(other, _training_failed(other, job, reason), place))
        pool.close()
    finally:
        pool.stop()
        pool.join()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
