"""Files: atomic writes, which leave a file complete or not at all; hashes of contents; paths with `~`."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import count
from pathlib import Path

from benchmark.core.errors import StorageFullError, UsageError
from benchmark.core.output import warn
from benchmark.core.unfinished import unfinished_prefix

_PERMISSIONS = 0o644
"""Mode of finished files: readable by everyone, where temporary files are readable by their owner only."""

_FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "it would be larger than files may be (ulimit -f)",
}
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
"""How libraries written in Rust, such as safetensors, word the system's errors."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary file beside `path` that replaces it when the block ends without an error.

    Raises:
        StorageFullError: when the disk is full; what was at `path` is unchanged.
        OSError: when the folder or the file cannot be written; it names `path`.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=unfinished_prefix())
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(_PERMISSIONS)
        temporary.replace(path)
    except Exception as error:
        stop_when_full(error, path)
        if isinstance(error, OSError) and error.errno and _is_within(error.filename, temporary, path):
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _is_within(name: object, temporary: Path | None, path: Path) -> bool:
    """Whether an error is about the write itself, and not about another file that the block uses."""
    return name is None or str(name) in (str(temporary), str(path.parent), str(path))


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file, then replace `path` with it in one step.

    Raises:
        StorageFullError: when the disk is full; what was at `path` is unchanged.
        OSError: when the folder or the file cannot be written.
    """
    with replacing(path) as temporary:
        write(temporary)


def stop_when_full(error: BaseException, path: Path | None = None) -> None:
    """Raise an error that ends the run when another was raised because the disk is full.

    Args:
        error: the error, of the system or of a library that words it in its message.
        path: the file that was written; the one that the error names when not given.

    Raises:
        StorageFullError: when the disk is full, the quota used up, or the file larger than is allowed.
    """
    code = error.errno if isinstance(error, OSError) else None
    if code is None and (found := _OS_ERROR.search(str(error))):
        code = int(found[1])
    if code in _FULL:
        named = path or getattr(error, "filename", None) or "A file"
        raise StorageFullError(
            f"{named} cannot be written: {_FULL[code]}. Make room and give the same command again; what was "
            "done is kept."
        ) from None


def set_aside(path: Path, reason: str) -> None:
    """Rename a damaged file or folder to NAME.damaged, so that it is made again, and say so on stderr.

    Args:
        path: the file.
        reason: what is wrong with it, as a clause.

    Raises:
        OSError: when it cannot be renamed.
    """
    names = (f"{path.name}.damaged{f'-{number}' if number > 1 else ''}" for number in count(1))
    target = next(free for name in names if not (free := path.with_name(name)).exists())
    try:
        path.rename(target)
    except FileNotFoundError:  # another process was faster
        return
    warn(f"warning: {path} is damaged ({reason}): renamed to {target.name}, and made again.")


def stamp(path: Path) -> tuple[int, int] | None:
    """Return size in bytes and time of writing in ns of a file; None when there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


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


def reject_files(folders: Iterable[Path], problem: str) -> None:
    """Raise a usage error that begins with `problem` when a file is where a folder is needed.

    Raises:
        UsageError: when one is.
    """
    for folder in folders:
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{problem}: '{folder}' is a file.")


def expand_home(path: Path) -> Path:
    """Replace a leading `~` by the home folder; a path whose user is unknown stays as it is."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path
