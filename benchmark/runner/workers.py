"""The pool of worker processes, forked from a process that has imported the same code as the parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver, spawn
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
from pebble import ProcessPool

from benchmark.core.cpu import cores, keep_freed_memory
from benchmark.core.output import protect_streams
from benchmark.core.source import ROOT

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_PRELOADED = "benchmark.runner.preload"
_WITHOUT_MODULES = ROOT / "benchmark" / "presets"


def threads_of_worker(device: str, workers: int) -> int:
    """Computes the number of threads of each worker process.

    One on the CPU: two processes of one thread are faster than one of two, and the order of sums is fixed.
    Beside a GPU each worker gets an equal part of the cores, on which scores are computed.
    """
    if torch.device(device).type == "cpu":
        return 1
    return max(1, cores() // workers)


@contextmanager
def worker_pool(device: str, workers: int, sharing: int) -> Iterator[ProcessPool]:
    """Starts a pool of workers for the block, and ends all workers after it.

    Args:
        device: the device that jobs run on.
        workers: number of processes.
        sharing: number of processes that share the cores beside a GPU.
    """
    threads = threads_of_worker(device, sharing)
    # Set for the children, which read them when they import their libraries.
    with _environment(dict.fromkeys(_THREADS, str(threads))):
        pool = ProcessPool(
            max_workers=workers, context=_context(), initializer=_start_worker, initargs=(threads,)
        )
        try:
            yield pool
            pool.close()
        finally:
            pool.stop()
            pool.join()


def _context() -> BaseContext:
    """Chooses how workers start: forked from a process that has imported the project; spawned elsewhere."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([_PRELOADED])
    _start_server()
    return context


def _start_server() -> None:
    """Starts the process that workers are forked from, so that it imports what this one has imported.

    Before Python 3.12.8 and 3.13.1 it ignores this process's path and looks into its working directory first,
    where another copy of the project may lie. So it starts in a folder without modules, with this process's
    path in its environment; workers return to this process's folder. Each compares its code with the run's.
    """
    path: list[str] = spawn.get_preparation_data("forkserver")["sys_path"]
    python_path = {"PYTHONPATH": os.pathsep.join(dict.fromkeys([*path, str(ROOT)]))}
    with _environment(python_path), _working_directory(_WITHOUT_MODULES):
        forkserver.ensure_running()


@contextmanager
def _working_directory(folder: Path) -> Iterator[None]:
    """Changes the working directory within the block, unless this process could not return to it."""
    try:
        before = os.open(".", os.O_RDONLY)
    except OSError:  # it was deleted, or may not be read
        yield
        return
    try:
        os.chdir(folder)
        try:
            yield
        finally:
            os.fchdir(before)
    finally:
        os.close(before)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Sets environment variables within the block, and restores them after it."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _start_worker(threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    parent = multiprocessing.parent_process()
    if parent is not None:  # else a worker would outlive a run that was killed, until its job is done
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    import faiss

    protect_streams()  # a plugin may print
    keep_freed_memory()
    torch.set_num_threads(threads)
    faiss.omp_set_num_threads(threads)


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
