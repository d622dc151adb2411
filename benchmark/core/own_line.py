"""The line of a user's own file at which an error was raised, however deep in a library it was raised."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from benchmark.core.source import PACKAGES, ROOT

INSTALLED = ("site-packages", "dist-packages")
"""Names of folders that packages are installed in."""

_LIBRARIES = ("pydantic", "builtins", "typing", "abc")
"""Packages of base classes that are nobody's plugin."""


class OwnLine(NamedTuple):
    """A line of a file."""

    file: Path
    line: int


def own_line(error: BaseException, files: Iterable[str]) -> OwnLine | None:
    """Finds the last line in the traceback that is in one of the files, or in a file of their folders.

    Packages installed within such a folder, Python's library and the project are not a part of it. A file
    within a package stands for the whole package.

    Args:
        error: the error, after it was raised.
        files: names of files as in code objects; those of a notebook's cells are no files.

    Returns:
        The file and the line; None when the traceback passes through none of them.
    """
    starts = [Path(name) for name in files]
    folders = {_package_of(start) for start in starts if start.is_file()}
    found = None
    for name, line in _lines(error.__traceback__):
        file = Path(name)
        if file in starts or any(_holds(folder, file) for folder in folders):
            found = OwnLine(file, line)
    return found


def explain(error: BaseException, files: Iterable[str]) -> str:
    """Describes an unexpected error in one clause without a period: its type, its message and its own line.

    Args:
        error: the error, after it was raised.
        files: the files whose last line is named; see `own_line`.
    """
    found = own_line(error, files)
    location = f" ({found.file.name}, line {found.line})" if found else ""
    notes = "".join(f" {note}" for note in getattr(error, "__notes__", ()))
    first = str(error).strip().split("\n", 1)[0].rstrip(".")
    return f"{type(error).__name__}{notes}{': ' if first else ''}{first}{location}"


def files_of(cls: type) -> set[str]:
    """Lists the files that define a class and its bases, up to the project's and pydantic's."""
    files = set()
    for part in cls.__mro__:
        if part is not cls and part.__module__.split(".")[0] in (*PACKAGES, *_LIBRARIES):
            continue
        files.add(str(getattr(sys.modules.get(part.__module__), "__file__", None) or ""))
        codes = (getattr(value, "__code__", None) for value in vars(part).values())
        files |= {code.co_filename for code in codes if code is not None}
    return files - {""}


def _lines(trace: TracebackType | None) -> Iterator[tuple[str, int]]:
    while trace:
        yield trace.tb_frame.f_code.co_filename, trace.tb_lineno
        trace = trace.tb_next


def _package_of(file: Path) -> Path:
    """The outermost package that a file is in, or else its folder."""
    folder = file.parent
    while (folder / "__init__.py").is_file() and (folder.parent / "__init__.py").is_file():
        folder = folder.parent
    return folder


def _holds(folder: Path, file: Path) -> bool:
    if folder.name in INSTALLED or not file.is_relative_to(folder):
        return False  # beside a single installed file lie other people's packages
    others = [Path(sysconfig.get_path("stdlib")), *(ROOT / package for package in PACKAGES)]
    if any(file.is_relative_to(other) and not folder.is_relative_to(other) for other in others):
        return False
    return not set(file.relative_to(folder).parts) & set(INSTALLED)
