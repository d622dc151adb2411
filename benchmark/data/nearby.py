"""Where a data set lies that is not where it was looked for."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable
from pathlib import Path

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
    wanted = [*_signs(layouts)]
    waiting = deque([(data, 0)])
    for _ in range(FOLDERS):
        if not waiting:
            break
        folder, depth = waiting.popleft()
        try:
            with os.scandir(folder) as entries:
                inside = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
            if any(all((folder / name).exists() for name in names) for names in wanted):
                return folder
        except OSError:  # it may not be looked into
            continue
        if depth < DEPTH:
            waiting += [(folder / name, depth + 1) for name in inside]
    return None


def _signs(layouts: Iterable[Layout]) -> Iterable[tuple[str, ...]]:
    """The files by which a layout is known: its metadata together, or an archive of all of it."""
    for layout in layouts:
        yield layout.metadata
        for archive in layout.archives:
            if set(archive.metadata) >= set(layout.metadata) and not archive.sign:
                yield (archive.name,)
