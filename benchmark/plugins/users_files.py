"""The files that a plugin consists of: its own and those that it imports from its folder or its package.

They are read from the text of the files alone, so that neither what else is loaded nor what failed to load
matters. Where it is not clear which file an import means, all that it may mean count: a result computed once
too often is cheaper than one that is stale.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmark.core.errors import UsageError
from benchmark.core.source import PACKAGES, ROOT
from benchmark.plugins.file_text import FileText
from benchmark.plugins.listings import Listings, exists, modules_in

_INSTALLED = ("site-packages", "dist-packages")
"""Names of folders that packages are installed in."""


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
    if not isinstance(origin, str) or not exists(Path(origin)):
        raise UsageError(f"The code of the module {name} is in no file that can be read; put it into one.")
    specification = getattr(module, "__spec__", None)  # knows the name of a module that is run as a script
    tree = _Tree(getattr(specification, "name", None) or name, Path(origin).absolute())
    return frozenset(UsersFile(file.relative_to(tree.root).as_posix(), file) for file in tree.reached())


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
        self._listed = Listings()

    def reached(self) -> set[Path]:
        """Finds the files that the start imports, directly and through others."""
        texts: dict[Path, FileText] = {}
        known = {self.root.resolve()}  # links may lead in circles
        waiting: list[tuple[Path, set[Path]]] = [(self._start, set())]
        while waiting:
            file, folders = waiting.pop()  # folders named since the file was looked at; none at first
            if not folders and file in texts:
                continue
            found: set[Path] = set()
            beside = above = folders
            if file not in texts:
                texts[file] = FileText.read(file)
                packages = {folder for folder in file.parents if folder.is_relative_to(self.root)}
                beside, above = {file.parent, *self._named}, {*packages, *self._named}
                found |= set(self._from_places(file, texts[file]))
            named = set()
            for folder in self._folders(texts[file], beside):
                if (place := folder.resolve()) not in known:
                    known.add(place)
                    named.add(folder)
            if named:  # every file may import from there as well
                self._named |= named
                waiting += [(other, named) for other in texts]
            found |= set(self._imported(texts[file], above, beside))
            waiting += [(path, set()) for path in found if path not in texts and self._holds(path)]
        return set(texts)

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

    def _folders(self, text: FileText, beside: set[Path]) -> Iterator[Path]:
        """The folders that a file names, by a path or a dotted name from its own folder or a named one."""
        for start in beside:
            for part in self._listed.names(start, text.folders):
                for path in text.folders[part]:
                    if _is_folder(found := start / path) and self._holds(found):
                        yield found

    def _imported(self, text: FileText, folders: set[Path], beside: set[Path]) -> Iterator[Path]:
        """Every file in some folders that the text of a file may mean."""
        for folder in folders:
            if text.modules:
                yield from self._listed.modules(folder, "__init__")
            for part in self._listed.stems(folder, text.modules):
                for parts in text.modules[part]:
                    yield from self._on_the_way(folder, parts)
            for part in self._listed.names(folder, text.files):
                yield from (path for word in text.files[part] if exists(path := folder / word))
        if text.by_name:
            for folder in beside:
                yield from modules_in(folder)

    def _from_places(self, file: Path, text: FileText) -> Iterator[Path]:
        """The files that the text of a file may mean because of where it lies."""
        for folder in file.parents:
            if folder.is_relative_to(self.root):
                yield from self._listed.modules(folder, "__init__")
        for dots, parts in text.relative:
            if dots <= len(file.parents):
                yield from self._on_the_way(file.parents[dots - 1], parts)
        # A plugin's folder may be a package of its user's, who imports it by its full name.
        for folder in (self.root, *self.root.parents):
            for parts in text.modules.get(folder.name, ()):
                yield from self._on_the_way(folder.parent, parts)

    def _on_the_way(self, folder: Path, parts: tuple[str, ...]) -> Iterator[Path]:
        """The files of a dotted name: of each package on the way, and of a module at its end."""
        yield from self._listed.modules(folder, "__init__")
        for part in parts:
            yield from self._listed.modules(folder, part)
            folder = folder / part
            yield from self._listed.modules(folder, "__init__")


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _root_of(name: str, file: Path) -> Path:
    """The folder from which a module is imported: that above its outermost package."""
    root = file.parent
    packages = name.split(".") if file.name.split(".")[0] == "__init__" else name.split(".")[:-1]
    while packages and root.name == packages.pop():
        root = root.parent
    while exists(root / "__init__.py") and root.parent != root:
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
