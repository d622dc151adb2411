"""Where a data set lies that is not where it was looked for."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from benchmark.data.layouts import Layout

DEPTH = 3
FOLDERS = 1000
"""Folders that are looked into at most: a data folder may be somebody's whole disk."""


def why_not_there(folder: Path) -> str:
    """Returns what keeps a folder from holding anything, as a clause; empty when it can be read."""
    try:
        with os.scandir(folder):
            pass
    except FileNotFoundError:
        return "which does not exist"
    except NotADirectoryError:
        return "which is a file"
    except OSError as error:
        return f"which cannot be read ({error.strerror})"
    return ""


def find_nearby(layouts: Iterable[Layout], data: Path) -> Path | None:
    """Finds a folder within the data folder that has all metadata, or an archive, of a layout; or None.

    Folders that are near the top come first; links are not followed.
    """
    signs = [*_signs(layouts)]
    waiting = deque([(data, 0)])
    for _ in range(FOLDERS):
        if not waiting:
            break
        folder, depth = waiting.popleft()
        try:
            with os.scandir(folder) as entries:
                inside = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
            if folder != data and any(sign.is_in(folder) for sign in signs):
                return folder
        except OSError:  # it may not be looked into
            continue
        if depth < DEPTH:
            waiting += [(folder / name, depth + 1) for name in inside]
    return None


class _Sign(NamedTuple):
    """What a layout is known by in a folder: its metadata together, or an archive of all of it."""

    names: tuple[str, ...]
    is_archive: bool

    def is_in(self, folder: Path) -> bool:
        paths = [folder / name for name in self.names]
        return all(path.is_file() if self.is_archive else path.exists() for path in paths)


def _signs(layouts: Iterable[Layout]) -> Iterable[_Sign]:
    for layout in layouts:
        yield _Sign(layout.metadata, is_archive=False)
        for archive in layout.archives:
            if set(archive.metadata) >= set(layout.metadata) and not archive.sign:
                yield _Sign((archive.name,), is_archive=True)
