"""The files that a plugin consists of: its own and those that it imports from its folder or its package."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from benchmark.core.source import PACKAGES, ROOT
from benchmark.plugins.imports import import_pairs

_INSTALLED = ("site-packages", "dist-packages")
"""Names of folders that packages are installed in."""

_ENDINGS = (".py", ".so", ".pyd")
_DOTS = re.compile(r"\.*")


class UsersFile(NamedTuple):
    """A file of a plugin.

    Attributes:
        name: its path from the plugin's folder, or from the folder that its package is installed in.
        path: where it is.
    """

    name: str
    path: Path


class _Home(NamedTuple):
    """Where a plugin's files lie.

    Attributes:
        root: the folder that names are relative to, and that absolute imports are looked up in.
        allowed: the folder, or the one file, that is followed.
    """

    root: Path
    allowed: Path

    def holds(self, file: Path) -> bool:
        """Whether a file may be part of the plugin: not of the project, nor of libraries in the folder."""
        if not file.is_relative_to(self.allowed):
            return False
        if any(file.is_relative_to(ROOT / package) for package in PACKAGES):
            return False
        return not any(part in _INSTALLED for part in file.relative_to(self.root).parts)


def users_files(name: str) -> frozenset[UsersFile]:
    """Finds the files that a module of a plugin imports, directly and through others, and its own.

    Where it is not clear which file an import means, all that it may mean count: a result computed once too
    often is cheaper than one that is stale.

    Args:
        name: of the imported module.
    """
    module = sys.modules.get(name)
    start = _file_of(module)
    if start is None:
        return frozenset()
    home = _home_of(name, start)
    loaded = {file: other for other in list(sys.modules.values()) if (file := _file_of(other)) is not None}
    seen: set[Path] = set()
    waiting = {start}
    while waiting:
        file = waiting.pop()
        seen.add(file)
        found = set(_imported(file, home)) | set(_objects_of(loaded.get(file)))
        waiting |= {other for other in found if home.holds(other)} - seen
    return frozenset(UsersFile(file.relative_to(home.root).as_posix(), file) for file in seen)


def _file_of(module: ModuleType | None) -> Path | None:
    origin = getattr(module, "__file__", None)
    return Path(origin).resolve() if isinstance(origin, str) and origin.endswith(_ENDINGS) else None


def _home_of(name: str, file: Path) -> _Home:
    depth = name.count(".") + (file.name == "__init__.py")
    root = file.parents[depth]
    if root.name in _INSTALLED:
        return _Home(root, root / name.split(".")[0] if depth else file)
    return _Home(root, root)


def _imported(file: Path, home: _Home) -> Iterator[Path]:
    """Every file that an import in a file may mean."""
    for base, taken in import_pairs(file, "", type_checking=True):
        dots = len(_DOTS.match(base).group())  # type: ignore[union-attr]  # it matches nothing, too
        folders = [file.parents[dots - 1]] if dots else [file.parent, home.root]
        parts = [part for part in (*base[dots:].split("."), taken) if part]
        for folder in folders:
            yield from _candidates(folder, parts)


def _candidates(folder: Path, parts: list[str]) -> Iterator[Path]:
    """The files of a dotted name below a folder: of each package on the way, and of a module at its end."""
    yield from _packages(folder)
    for part in parts:
        if part == "*":
            return
        folder = folder / part
        yield from (path for ending in _ENDINGS for path in folder.parent.glob(f"{part}*{ending}")
                    if path.name.split(".")[0] == part)  # fmt: skip
        yield from _packages(folder)


def _packages(folder: Path) -> Iterator[Path]:
    initial = folder / "__init__.py"
    if initial.is_file():
        yield initial.resolve()


def _objects_of(module: ModuleType | None) -> Iterator[Path]:
    """The files of what a loaded module holds, however it was imported."""
    for value in list(vars(module).values()) if module is not None else ():
        name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        file = _file_of(sys.modules.get(name)) if isinstance(name, str) else None
        if file is not None:
            yield file
