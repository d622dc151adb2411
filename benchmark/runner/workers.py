"""Worker processes, forked from a process that has imported the same code as the run."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver, spawn
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from benchmark.core.cpu import cores, keep_freed_memory
from benchmark.core.interrupts import interrupts_held, leave_signals_to_parent
from benchmark.core.output import protect_streams
from benchmark.core.processes import end_with_parent
from benchmark.core.source import ROOT
from benchmark.core.unfinished import process_folder
from benchmark.runner.serve import serve

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_LONGEST_FOLDER = 70
"""Characters of a folder's path that leave room for the name of a socket, whose path may have 103."""
_PAUSES = tuple(0.05 * 2**number for number in range(8))
"""Seconds before each new try to start a worker, 13 in all."""
_PRELOADED = "benchmark.runner.preload"
_PRELOADED_TO_TRAIN = "benchmark.runner.preload_training"
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
def worker_environment(threads: int) -> Iterator[None]:
    """Sets what workers that are started within the block read when they import their libraries."""
    with _environment(dict.fromkeys(THREADS, str(threads))):
        yield


def start_ahead(threads: int, trains: bool) -> None:
    """Starts the process that workers are forked from, which imports what they need while this one goes on.

    Args:
        threads: threads of each worker.
        trains: whether there are trainings; what a process does not have, its workers import themselves.
    """
    with worker_environment(threads):
        _context(_PRELOADED_TO_TRAIN if trains else _PRELOADED)


def start_worker(threads: int) -> tuple[BaseProcess, Connection]:
    """Starts a worker process; the process that it is forked from is started where it has ended.

    A process that was killed refuses connections for a moment before it counts as ended and can be replaced,
    longer where the machine is busy or its memory large, so refused ones are tried again.

    Args:
        threads: threads of torch and faiss in the worker.

    Returns:
        The process, and the connection that takes jobs (see `serve`) and gives answers.

    Raises:
        OSError, EOFError: when the process that workers are forked from ended meanwhile.
    """
    for pause in _PAUSES:
        try:
            return _start_worker(threads)
        except ConnectionRefusedError:  # noqa: PERF203 - starting a process takes far longer
            time.sleep(pause)
    return _start_worker(threads)


def _start_worker(threads: int) -> tuple[BaseProcess, Connection]:
    context = _context()
    ours, theirs = context.Pipe()
    try:
        process = context.Process(target=_work, args=(theirs, threads))  # type: ignore[attr-defined]
        process.start()
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()  # so that the connection ends with the worker
    return process, ours


def _context(preloaded: str = _PRELOADED) -> BaseContext:
    """Chooses how workers start: forked from a process that has imported the project; spawned elsewhere.

    Args:
        preloaded: the module that this process imports, where it does not run yet.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([preloaded])
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
    with (
        _environment(python_path),
        _working_directory(_WITHOUT_MODULES),
        _sockets_in_own_folder(),
        interrupts_held(),  # it would end with a traceback
    ):
        forkserver.ensure_running()


@contextmanager
def _sockets_in_own_folder() -> Iterator[None]:
    """Lets sockets be made in a folder that a later run removes if this process is killed.

    Where its path would be too long for them, Python chooses the folder, which is then left.
    """
    before = tempfile.tempdir
    if len(str(process_folder())) <= _LONGEST_FOLDER:
        tempfile.tempdir = str(process_folder())
    try:
        yield
    finally:
        tempfile.tempdir = before


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


def _work(connection: Connection, threads: int) -> None:
    """What a worker process does: it prepares itself, then runs jobs until its run ends."""
    leave_signals_to_parent()
    end_with_parent()  # else it would outlive a run that was killed, until its job is done
    import faiss

    protect_streams()  # a plugin may print
    keep_freed_memory()
    torch.set_num_threads(threads)
    faiss.omp_set_num_threads(threads)
    serve(connection)
