"""The files of a job that runs where the output folder cannot be seen: what it needs, and what it wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from benchmark.core.files import write_atomically
from benchmark.core.unfinished import UNFINISHED


class Changes(NamedTuple):
    """What a job changed in its output folder.

    Attributes:
        written: paths relative to the folder with contents, in the order of writing.
        removed: paths of the files that are there no more.
    """

    written: tuple[tuple[str, bytes], ...] = ()
    removed: tuple[str, ...] = ()


def snapshot(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Notes, for each file below a folder by its relative path, what changes when it is written again."""
    return {path.relative_to(folder).as_posix(): _stamp(path) for path in _files(folder)}


def changes_since(folder: Path, before: Mapping[str, tuple[int, int, int]]) -> Changes:
    """Reads the files below a folder that were written after a snapshot, the first one first.

    The order matters: a job writes the arrays of a cell, or the weights of a model, before their record.
    """
    now = snapshot(folder)
    written = sorted((stamp[0], name) for name, stamp in now.items() if before.get(name) != stamp)
    return Changes(
        tuple((name, (folder / name).read_bytes()) for _, name in written),
        tuple(sorted(before.keys() - now.keys())),
    )


def apply_changes(changes: Changes, folder: Path) -> None:
    """Writes what a job wrote elsewhere into a folder, each file in one step.

    Raises:
        StorageFullError: when the disk is full.
        OSError: when a file cannot be written.
    """
    for name, content in changes.written:
        write_file(folder / name, content)
    for name in changes.removed:
        (folder / name).unlink(missing_ok=True)


def write_file(path: Path, content: bytes) -> None:
    """Writes a file in one step."""
    write_atomically(path, lambda temporary: temporary.write_bytes(content))


def _files(folder: Path) -> Iterator[Path]:
    """Lists the finished files below a folder."""
    for path in folder.rglob("*"):
        if path.is_file() and not any(part.startswith(UNFINISHED) for part in path.relative_to(folder).parts):
            yield path


def _stamp(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino
