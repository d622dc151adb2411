"""Temporary files and folders: names that say which process writes them, and removal of abandoned ones."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from multiprocessing.util import Finalize
from pathlib import Path

UNFINISHED = ".writing-"
"""Prefix of the names of files and folders that are still being written."""

_STALE = 86_400
"""Seconds without a write after which what an unknown process was writing counts as abandoned."""


def unfinished_prefix() -> str:
    """Return the prefix of this process's temporary names: the machine, the process and when it started."""
    return _prefix_of(os.getpid())


@cache
def _prefix_of(pid: int) -> str:
    """The prefix of this process, by its id: a forked process has another."""
    return f"{UNFINISHED}{_machine()}-{pid}-{_started(pid) or 0}-"


def remove_unfinished(folder: Path) -> None:
    """Remove the unfinished files and folders in a folder whose processes have ended.

    Those of a living process of this machine are kept however old they are; those of other machines, and
    those whose names say nothing, are removed a day after the last write.
    """
    for leftover in folder.glob(f"{UNFINISHED}*"):
        with suppress(FileNotFoundError):  # another process was faster
            alive = _is_alive(leftover.name)
            if alive or (alive is None and time.time() - leftover.lstat().st_mtime <= _STALE):
                continue
            if leftover.is_dir() and not leftover.is_symlink():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink()


@contextmanager
def temporary_folder(parent: Path | None = None) -> Iterator[Path]:
    """Make a folder for the block, and remove it and those that killed processes left beside it.

    Args:
        parent: where it is made; the system's folder for temporary files when not given.

    Raises:
        OSError: when it cannot be made.
    """
    beside = Path(tempfile.gettempdir()) if parent is None else parent
    remove_unfinished(beside)
    folder = Path(tempfile.mkdtemp(dir=beside, prefix=unfinished_prefix()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_alive(name: str) -> bool | None:
    """Whether the process that a name speaks of is alive; None where this machine cannot know."""
    machine, *numbers = name.removeprefix(UNFINISHED).split("-")
    if machine != _machine() or len(numbers) < 3 or not all(text.isdecimal() for text in numbers[:2]):
        return None
    pid, started = map(int, numbers[:2])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        pass
    now = _started(pid)
    return True if now is None or not started else now == started


@cache
def _machine() -> str:
    """A short hash of what process ids are counted in: the host, since it started, and the container."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))  # noqa: PTH115 (no path)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def _started(pid: int) -> int | None:
    """When a process started, in clock ticks of the system; None where that is unknown, 0 for a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return int(fields[19]) if fields[0] not in "ZX" else 0


@cache
def process_folder() -> Path:
    """Return a temporary folder of this process; it is removed when it ends, or by another if it is killed.

    Raises:
        OSError: when it cannot be made.
    """
    parent = Path(tempfile.gettempdir())
    remove_unfinished(parent)
    folder = Path(tempfile.mkdtemp(dir=parent, prefix=unfinished_prefix()))
    # After the finalizers of `multiprocessing` itself, of -100, which may remove folders in it.
    Finalize(None, shutil.rmtree, args=(folder,), kwargs={"ignore_errors": True}, exitpriority=-200)
    return folder
