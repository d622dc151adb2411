"""The layouts of data sets of photographs on disk, packed and unpacked, and how to find them."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from benchmark.core.errors import BenchmarkError
from benchmark.data.archives import is_archive, zip_contains

Side = Literal["train", "test", "query", "gallery"]


class Entry(NamedTuple):
    """One image as listed in the metadata.

    Attributes:
        file: path relative to one of the folders of `Layout.images`, with forward slashes.
        label: the class; classes are ordered by it.
        side: the part that the image belongs to.
    """

    file: str
    label: int
    side: Side


class Archive(NamedTuple):
    """An archive that a layout may be downloaded as.

    Attributes:
        name: path relative to a folder of the layout.
        metadata: the part of the layout's metadata that it contains.
        images: prefixes of the names of the images in it, "" for all images.
        sign: prefix of a name in it, where the archive's own name is ambiguous; only for zips.
    """

    name: str
    metadata: tuple[str, ...] = ()
    images: tuple[str, ...] = ("",)
    sign: str = ""


class Layout(NamedTuple):
    """One way in which a data set is arranged on disk.

    Attributes:
        folders: folders that it may be in, relative to the data folder and to an unpacked archive.
        metadata: files or folders that must be in one of these folders, or in an archive there.
        images: folders that images may be in, relative to the same.
        archives: the archives that parts of it may be in.
        entries: reads the metadata, given a function that returns the path of each metadata file.
    """

    folders: tuple[str, ...]
    metadata: tuple[str, ...]
    images: tuple[str, ...]
    archives: tuple[Archive, ...]
    entries: Callable[[Callable[[str], Path]], list[Entry]]


class StillPackedError(Exception):
    """A file is in an archive that is not unpacked, and must not be unpacked now."""


class DatasetLocation(NamedTuple):
    """A folder that holds a data set in one of its layouts, or a single archive there that holds all of it.

    Attributes:
        layout: the layout.
        folder: the folder.
        archives: the archives of the layout that exist, and their paths.
        packed_only: ignore what is unpacked in the folder, as it may be damaged, and read only the archives.
    """

    layout: Layout
    folder: Path
    archives: tuple[tuple[Archive, Path], ...]
    packed_only: bool = False

    def missing_metadata(self) -> list[str]:
        """Return the metadata that are neither in the folder nor in an archive."""
        packed = {name for archive, _ in self.archives for name in archive.metadata}
        return [name for name in self.layout.metadata if name not in packed and not self._unpacked(name)]

    def metadata(self, name: str, unpack: Callable[[Path], Path | None]) -> Path:
        """Return the path of a file or folder of metadata.

        Args:
            name: its name in the layout.
            unpack: returns the folder that an archive is unpacked into, or None when it is not unpacked.

        Raises:
            StillPackedError: when it is in an archive that is not unpacked.
            BenchmarkError: when it is not found.
        """
        if self._unpacked(name):
            return self.folder / name
        holding = [(archive, path) for archive, path in self.archives if name in archive.metadata]
        for root in self._inside(holding, lambda archive: name in archive.metadata, unpack):
            if (root / name).exists():
                return root / name
        where = holding[0][1] if holding else self.folder
        raise BenchmarkError(f"{where} does not contain {name}; download it again.")

    def images(
        self, files: Iterable[str], unpack: Callable[[Path], Path | None]
    ) -> tuple[dict[str, tuple[Path, int]], list[str]]:
        """Find the images that are nonempty files.

        Args:
            files: names from the metadata; on disk they may be decomposed, as some file systems do.
            unpack: as for `metadata`; called for the archives of images that are not unpacked.

        Returns:
            The path and the size in bytes of each image found, by its name; and the names of those that are
            neither in the folder nor in an archive.

        Raises:
            StillPackedError: when some are in an archive that is not unpacked, and all others exist.
        """
        wanted = list(files)
        found = {} if self.packed_only else _files_in(self._folders([self.folder]), wanted)
        absent = [file for file in wanted if file not in found]
        covering = [
            (archive, path)
            for archive, path in self.archives
            if any(file.startswith(archive.images) for file in absent)
        ]
        prefixes = tuple(prefix for archive, _ in covering for prefix in archive.images)
        if nowhere := [file for file in absent if not file.startswith(prefixes)]:
            return found, nowhere  # unpacking would not help
        for one in covering:
            if absent:
                roots = self._inside([one], lambda archive: bool(archive.images), unpack)
                found |= _files_in(self._folders(roots), absent)
                absent = [file for file in absent if file not in found]
        return found, absent

    def _unpacked(self, name: str) -> bool:
        return not self.packed_only and (self.folder / name).exists()

    def _folders(self, roots: Iterable[Path]) -> list[Path]:
        candidates = (root / name for root in roots for name in self.layout.images)
        return [folder for folder in candidates if folder.is_dir()]

    def _inside(
        self,
        archives: Iterable[tuple[Archive, Path]],
        wanted: Callable[[Archive], bool],
        unpack: Callable[[Path], Path | None],
    ) -> Iterator[Path]:
        """Yield the layout's folders within unpacked archives, and within archives inside those."""
        for _, path in archives:
            root = unpack(path)
            if root is None:
                raise StillPackedError
            for folder in dict.fromkeys(root / name for name in (".", *self.layout.folders)):
                if folder.is_dir():
                    yield folder
                    inner = [(archive, folder / archive.name) for archive in self.layout.archives]
                    yield from self._inside(
                        [(archive, file) for archive, file in inner if wanted(archive) and file.is_file()],
                        wanted,
                        unpack,
                    )


def find_locations(layouts: Iterable[Layout], data: Path) -> tuple[list[DatasetLocation], list[Path]]:
    """Find the locations of a data set or parts of it, those with complete metadata first.

    Args:
        layouts: its layouts, the most likely first.
        data: the data folder.

    Returns:
        The locations, and the files that have the name of an archive but are not archives.
    """
    found: list[DatasetLocation] = []
    not_archives: list[Path] = []
    for layout in layouts:
        for folder in (data / name for name in layout.folders):
            named = [(archive, folder / archive.name) for archive in layout.archives]
            files = [(archive, path) for archive, path in named if path.is_file()]
            not_archives += [path for _, path in files if not is_archive(path) and path not in not_archives]
            archives = [
                (archive, path)
                for archive, path in files
                if path not in not_archives and (not archive.sign or zip_contains(path, archive.sign))
            ]
            if archives or any((folder / name).exists() for name in layout.metadata):
                found.append(DatasetLocation(layout, folder, tuple(archives)))
            found += [
                DatasetLocation(layout, folder, (one,), packed_only=True)
                for one in archives
                if set(one[0].metadata) >= set(layout.metadata)
            ]
    return sorted(found, key=lambda location: bool(location.missing_metadata())), not_archives


def _files_in(folders: list[Path], names: Iterable[str]) -> dict[str, tuple[Path, int]]:
    """Return the path and the size of each nonempty file that is in one of some folders."""
    found = {}
    for name in names:
        for path in (f"{folder}/{form}" for form in _normal_forms(name) for folder in folders):
            try:
                about = os.stat(path)  # noqa: PTH116 (a hundred thousand times: three times as fast)
            except (OSError, ValueError):  # a name with a zero byte is not a path
                continue
            if stat.S_ISREG(about.st_mode) and about.st_size:
                found[name] = Path(path), about.st_size
                break
    return found


def _normal_forms(name: str) -> Iterable[str]:
    if name.isascii():
        return (name,)
    return dict.fromkeys((name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD"))))
