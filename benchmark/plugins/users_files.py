"""The files that a plugin consists of: its own and those that it imports from its folder or its package.

They are read from the text of the files alone, so that neither what else is loaded nor what failed to load
matters. Where it is not clear which file an import means, all that it may mean count: a result computed once
too often is cheaper than one that is stale.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from importlib.machinery import BYTECODE_SUFFIXES, EXTENSION_SUFFIXES, SOURCE_SUFFIXES
from pathlib import Path
from typing import NamedTuple

from benchmark.core.errors import UsageError
from benchmark.core.source import PACKAGES, ROOT
from benchmark.plugins.imports import Import, imports_by_name, imports_in, nodes_of, texts_in

_INSTALLED = ("site-packages", "dist-packages")
"""Names of folders that packages are installed in."""

_SUFFIXES = (*SOURCE_SUFFIXES, *BYTECODE_SUFFIXES, *EXTENSION_SUFFIXES)

_COMPILED = (".so", ".dll", ".dylib", ".c", ".cc", ".cpp", ".cu", ".pyx")
"""Endings of files that are no modules, and that code may load or compile when it runs."""


class UsersFile(NamedTuple):
    """A file of a plugin.

    Attributes:
        name: its path from the plugin's folder, or from the folder that its package is installed in.
        path: where it is.
    """

    name: str
    path: Path


def users_files(name: str) -> frozenset[UsersFile]:
    """Finds the files that a module of a plugin imports, directly and through others, and its own.

    Args:
        name: of the imported module.

    Raises:
        UsageError: when its code is in no file, as in a notebook, or no longer.
    """
    module = sys.modules.get(name)
    origin = getattr(module, "__file__", None)
    if not isinstance(origin, str) or not _exists(Path(origin)):
        raise UsageError(f"The code of the module {name} is in no file that can be read; put it into one.")
    specification = getattr(module, "__spec__", None)  # knows the name of a module that is run as a script
    tree = _Tree(getattr(specification, "name", None) or name, Path(origin).absolute())
    return frozenset(UsersFile(file.relative_to(tree.root).as_posix(), file) for file in tree.reached())


def _exists(file: Path) -> bool:
    """Whether there is a file that this process may read."""
    try:
        return file.is_file() and os.access(file, os.R_OK)
    except OSError:  # in a folder that is closed to this process, or with too long a name
        return False


class _Text(NamedTuple):
    """What the text of a file says about others."""

    imports: list[Import]
    texts: list[str]
    by_name: bool


class _Tree:
    """The folder that a plugin's files lie in.

    Args:
        name: of the plugin's module.
        start: the module's file.

    Attributes:
        root: the folder that names of files are relative to.
    """

    def __init__(self, name: str, start: Path) -> None:
        self.root = _root_of(name, start)
        self._start = start
        self._owned, installed = _installed_names(self.root, start)
        self._libraries = installed | _project_in(self.root) - {start.relative_to(self.root).parts[0]}
        self._named = {self.root}
        """Folders that the code names: it may put them on the path."""
        self._texts: dict[Path, _Text] = {}
        self._modules: dict[tuple[Path, str], list[Path]] = {}

    def reached(self) -> set[Path]:
        """Finds the files that the start imports, directly and through others."""
        seen: set[Path] = set()
        waiting = {self._start}
        while waiting:
            file = waiting.pop()
            seen.add(file)
            known = {folder.resolve() for folder in self._named}  # links may lead in circles
            named = {folder for folder in self._folders(file) if folder.resolve() not in known}
            if named:  # other files may import from there as well
                self._named |= named
                waiting |= seen
            waiting |= {found for found in self._imported(file) if self._holds(found)} - seen
        return seen

    def _holds(self, path: Path) -> bool:
        """Whether a path may be part of the plugin, and of no library in its folder."""
        if not path.is_relative_to(self.root):
            return False
        parts = path.relative_to(self.root).parts
        if not parts or ".." in parts:
            return not parts
        if self._owned and parts[0].split(".")[0] not in self._owned:
            return False
        return parts[0].split(".")[0] not in self._libraries and not any(p in _INSTALLED for p in parts)

    def _text(self, file: Path) -> _Text:
        if file not in self._texts:
            nodes = nodes_of(file, type_checking=True) if file.suffix in SOURCE_SUFFIXES else []
            self._texts[file] = _Text(imports_in(nodes, ""), [*texts_in(nodes)], imports_by_name(nodes))
        return self._texts[file]

    def _folders(self, file: Path) -> Iterator[Path]:
        """The folders that a file names, by a path or a dotted name from its own folder or a named one."""
        text = self._text(file)
        dotted = [made.module for made in text.imports] + [f"{m}.{n}" for m, n, _ in text.imports]
        for word in [*text.texts, *(dotted if text.by_name else ())]:
            for path in (word.strip("/"), word.replace(".", "/").strip("/")):
                for folder in {file.parent, *self._named} if path else ():
                    if _is_folder(found := folder / path) and self._holds(found):
                        yield found

    def _imported(self, file: Path) -> Iterator[Path]:
        """Every file that the text of a file may mean."""
        text = self._text(file)
        packages = [folder for folder in file.parents if folder.is_relative_to(self.root)]
        for folder in packages:
            yield from self._modules_of(folder, "__init__")
        folders = {*packages, *self._named}
        for module, name, _ in text.imports:
            yield from self._candidates(file, folders, module, name)
        for word in text.texts:
            yield from self._candidates(file, folders, word)
            if word.endswith((*SOURCE_SUFFIXES, *_COMPILED)):
                yield from (path for folder in folders if _exists(path := folder / word.lstrip("/")))
        if text.by_name:
            for folder in {file.parent, *self._named}:
                yield from _modules_in(folder)

    def _candidates(self, file: Path, folders: Iterable[Path], module: str, name: str = "") -> Iterator[Path]:
        """The files of a dotted name: of each package on the way, and of a module at its end."""
        dots = len(module) - len(module.lstrip("."))
        parts = [part for part in (*module.split("."), name) if part]
        if dots > len(file.parents) or not all(part.isidentifier() or part == "*" for part in parts):
            return
        if dots:
            folders = [file.parents[dots - 1]]
        elif parts and parts[0] in PACKAGES:
            return  # the project is imported before any plugin
        else:
            # A plugin's folder may be a package of its user's, who imports it by its full name.
            above = (folder.parent for folder in (self.root, *self.root.parents) if folder.name in parts[:1])
            folders = [*folders, *above]
        for start in folders:
            folder = start
            yield from self._modules_of(folder, "__init__")
            for part in parts:
                yield from self._modules_of(folder, part)
                folder = folder / part
                yield from self._modules_of(folder, "__init__")

    def _modules_of(self, folder: Path, part: str) -> list[Path]:
        if (folder, part) not in self._modules:
            found = [path for suffix in _SUFFIXES if _exists(path := folder / f"{part}{suffix}")]
            sources = [path for path in found if path.suffix not in BYTECODE_SUFFIXES]
            self._modules[folder, part] = sources or found
        return self._modules[folder, part]


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _modules_in(folder: Path) -> Iterator[Path]:
    try:
        yield from (path for path in folder.iterdir() if path.name.endswith(_SUFFIXES) and _exists(path))
    except OSError:
        return


def _root_of(name: str, file: Path) -> Path:
    """The folder from which a module is imported: that above its outermost package."""
    root = file.parent
    packages = name.split(".") if file.name.split(".")[0] == "__init__" else name.split(".")[:-1]
    while packages and root.name == packages.pop():
        root = root.parent
    while _exists(root / "__init__.py") and root.parent != root:
        root = root.parent
    return root


def _installed_names(root: Path, start: Path) -> tuple[frozenset[str], frozenset[str]]:
    """Which names at the top of a folder belong to the plugin, and which to libraries installed beside it.

    Returns:
        The names of the start's distribution, empty when it is no installed one (then all are the plugin's);
        and those of the distributions that pip has installed in the folder.
    """
    top = start.relative_to(root).parts[0].split(".")[0]
    distributions = [_names_in(record) for record in root.glob("*.dist-info/RECORD")]
    mine = frozenset({top}.union(*(names for names in distributions if top in names)))
    if root.name in _INSTALLED or any(top in names for names in distributions):
        return mine, frozenset()
    return frozenset(), frozenset().union(*distributions)


def _project_in(root: Path) -> frozenset[str]:
    """The project's packages in a folder: a plugin may lie beside them."""
    folders = {package: root / package for package in PACKAGES}
    return frozenset(p for p, folder in folders.items() if _is_folder(folder) and folder.samefile(ROOT / p))


def _names_in(record: Path) -> frozenset[str]:
    try:
        lines = record.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    tops = {line.split("/")[0].split(",")[0].split(".")[0] for line in lines}
    return frozenset(name for name in tops if name.isidentifier() and name != "__pycache__")
