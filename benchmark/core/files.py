"""Atomic writes: a file appears complete or not at all, even when the process is killed."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

UNFINISHED = ".writing-"
"""Prefix of the names of files and folders that are still being written."""

_STALE = 3600
"""Seconds without a write after which an unfinished file or folder counts as abandoned."""

_PERMISSIONS = 0o644
"""Mode of finished files: readable by everyone, where temporary files are readable by their owner only."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary file beside `path` that replaces it when the block ends without an error.

    Raises:
        OSError: when the folder or the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=UNFINISHED)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(_PERMISSIONS)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file, then replace `path` with it in one step."""
    with replacing(path) as temporary:
        write(temporary)


def remove_unfinished(folder: Path) -> None:
    """Remove the unfinished files and folders that killed processes left in a folder."""
    for leftover in folder.glob(f"{UNFINISHED}*"):
        with suppress(FileNotFoundError):  # another process was faster
            if time.time() - leftover.lstat().st_mtime <= _STALE:
                continue
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink()
