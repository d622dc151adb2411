"""Files that appear whole or not at all, however a process ends."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

UNFINISHED = ".writing-"
"""What the names of files and folders begin with that are not whole yet."""

_STALE = 3600
"""Seconds after which a file or a folder that nobody has written to belongs to nobody."""

_PERMISSIONS = 0o644
"""Temporary files are private to their user; what takes their place is for everyone to read."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary file beside `path` that takes its place when the block ends without an error.

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
    """Lets `write` fill a temporary file, then puts it in the place of `path` in one step."""
    with replacing(path) as temporary:
        write(temporary)


def remove_unfinished(folder: Path) -> None:
    """Removes what processes that were killed while they wrote have left in a folder: files and folders."""
    for litter in folder.glob(f"{UNFINISHED}*"):
        with suppress(FileNotFoundError):  # another process was faster
            if time.time() - litter.lstat().st_mtime <= _STALE:
                continue
            if litter.is_dir():
                shutil.rmtree(litter, ignore_errors=True)
            else:
                litter.unlink()
