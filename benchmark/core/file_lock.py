"""A lock that one process holds at a time, for what processes write into one folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmark.core.output import warn

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]


@contextmanager
def locked(path: Path, waiting: str = "") -> Iterator[None]:
    """Holds a lock within the block, after the process that holds it now; it ends with the process.

    Nothing is locked where the system has no such locks (Windows, some shared folders), or where the file
    cannot be made.

    Args:
        path: a file of the lock's own, in a folder that exists; it stays.
        waiting: a line to write where another process holds the lock.
    """
    try:
        file = path.open("a")
    except OSError:
        yield
        return
    with file:
        if fcntl is not None:
            with suppress(OSError):  # a file system without locks
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if waiting:
                        warn(waiting)
                    fcntl.flock(file, fcntl.LOCK_EX)
        yield
