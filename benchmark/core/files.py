"""Files: atomic writes, which leave a file complete or not at all; hashes of contents; paths with `~`."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
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


def content_digest(path: Path) -> str:
    """Return the sha256 of a file; it is computed again only when its size or modification time changes.

    Raises:
        OSError: when the file is missing or cannot be read.
    """
    state = path.stat()
    return _digest(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=256)
def _digest(path: Path, modified: int, size: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def expand_home(path: Path) -> Path:
    """Replace a leading `~` by the home folder; a path whose user is unknown stays as it is."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path
