"""A lock that one process holds at a time, for what processes write into one folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmark.core.output import warn


@contextmanager
def locked(path: Path, waiting: str = "") -> Iterator[None]:
    """Holds a lock within the block, after the process that holds it now; it ends with the process.

    Nothing is locked where the file system has no locks, or where the file cannot be made.

    Args:
        path: a file of the lock's own, in a folder that exists.
        waiting: a line to write where another process holds the lock.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        if path.parent.is_dir():
            lock.acquire(timeout=0)
    except Timeout:
        if waiting:
            warn(waiting)
        lock.acquire()
    except (OSError, NotImplementedError):
        pass
    try:
        yield
    finally:
        lock.release()
