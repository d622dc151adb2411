"""The files of modules in folders."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from importlib.machinery import BYTECODE_SUFFIXES, EXTENSION_SUFFIXES, SOURCE_SUFFIXES
from pathlib import Path
from typing import Any

_SUFFIXES = (*SOURCE_SUFFIXES, *BYTECODE_SUFFIXES, *EXTENSION_SUFFIXES)


def exists(file: Path) -> bool:
    """Whether there is a file that this process may read."""
    try:
        return file.is_file() and os.access(file, os.R_OK)
    except OSError:  # in a folder that is closed to this process, or with too long a name
        return False


def modules_in(folder: Path) -> Iterator[Path]:
    """Yields every file in a folder that may be a module; none where it cannot be listed."""
    try:
        yield from (path for path in folder.iterdir() if path.name.endswith(_SUFFIXES) and exists(path))
    except OSError:
        return


class Listings:
    """What folders hold, each listed once: asking for every file that may be there is far slower."""

    def __init__(self) -> None:
        self._names: dict[Path, tuple[frozenset[str], frozenset[str]] | None] = {}
        self._modules: dict[tuple[Path, str], list[Path]] = {}

    def _of(self, folder: Path) -> tuple[frozenset[str], frozenset[str]] | None:
        """The names in a folder, and these up to their first dot; None where they cannot be listed."""
        if folder not in self._names:
            try:
                names = frozenset((*os.listdir(folder), ".", ".."))  # noqa: PTH208 (names alone)
            except (FileNotFoundError, NotADirectoryError):
                names = frozenset()
            except OSError:  # closed to this process, which may still open files in it
                self._names[folder] = None
                return None
            self._names[folder] = names, frozenset(name.split(".")[0] for name in names)
        return self._names[folder]

    def names(self, folder: Path, asked: Mapping[str, Any]) -> Iterable[str]:
        """Those of some names that may be in a folder."""
        listed = self._of(folder)
        return asked if listed is None else (asked.keys() & listed[0])

    def stems(self, folder: Path, asked: Mapping[str, Any]) -> Iterable[str]:
        """Those of some names of modules and packages that may be in a folder."""
        listed = self._of(folder)
        return asked if listed is None else asked.keys() & listed[1]

    def modules(self, folder: Path, part: str) -> list[Path]:
        """The files of a module in a folder: its sources, or else what is compiled from them."""
        if (folder, part) not in self._modules:
            listed = self._of(folder)
            found = []
            if listed is None or part in listed[1]:
                found = [path for suffix in _SUFFIXES if exists(path := folder / f"{part}{suffix}")]
            sources = [path for path in found if path.suffix not in BYTECODE_SUFFIXES]
            self._modules[folder, part] = sources or found
        return self._modules[folder, part]
