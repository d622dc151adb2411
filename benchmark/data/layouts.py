"""The forms in which data sets of photographs lie on disks, packed and unpacked, and what is in them."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from benchmark.core.errors import BenchmarkError
from benchmark.data.archives import is_archive, lists

Side = Literal["train", "test", "query", "gallery"]


class Entry(NamedTuple):
    """One image as the metadata list it.

    Attributes:
        file: relative to one of the folders of `Layout.images`, with forward slashes.
        label: its class; classes are ordered by it.
        side: which part it belongs to.
    """

    file: str
    label: int
    side: Side


class Archive(NamedTuple):
    """An archive as it may have been downloaded.

    Attributes:
        name: relative to a folder of the layout.
        metadata: what of the layout's metadata is in it.
        images: how the names of the images in it begin, "" for all images.
        sign: how a name in it begins, where its own name says too little; looked up in zips.
    """

    name: str
    metadata: tuple[str, ...] = ()
    images: tuple[str, ...] = ("",)
    sign: str = ""


class Layout(NamedTuple):
    """One of the forms in which a data set lies on disks.

    Attributes:
        folders: where it may be below the data folder, and below what an archive was unpacked into.
        metadata: files or folders that must be in one of them, or in an archive that is there.
        images: folders that images may be in, relative to the same.
        archives: what of it may still be packed.
        entries: reads the metadata, given what finds the path of each of them.
    """

    folders: tuple[str, ...]
    metadata: tuple[str, ...]
    images: tuple[str, ...]
    archives: tuple[Archive, ...]
    entries: Callable[[Callable[[str], Path]], list[Entry]]


class StillPackedError(Exception):
    """What is looked for is in an archive that was not unpacked yet, and is not to be now."""


class DatasetLocation(NamedTuple):
    """A folder in which a data set lies in one of its layouts, or one archive in it that holds it all.

    Attributes:
        layout: which.
        folder: where.
        archives: those of the layout that are there, and their paths.
        alone: whether the archives alone are looked into, as where what lies unpacked beside them is damaged.
    """

    layout: Layout
    folder: Path
    archives: tuple[tuple[Archive, Path], ...]
    alone: bool = False

    def lacking(self) -> list[str]:
        """The metadata that are neither in the folder nor in an archive."""
        held = {name for archive, _ in self.archives for name in archive.metadata}
        return [name for name in self.layout.metadata if name not in held and not self._beside(name)]

    def metadata(self, name: str, unpack: Callable[[Path], Path | None]) -> Path:
        """The path of a file or folder of metadata.

        Args:
            name: as the layout has it.
            unpack: gives the folder that an archive was unpacked into, or None to say that it was not.

        Raises:
            StillPackedError: when it is in an archive that was not unpacked.
            BenchmarkError: when it is nowhere.
        """
        if self._beside(name):
            return self.folder / name
        holding = [(archive, path) for archive, path in self.archives if name in archive.metadata]
        for root in self._inside(holding, lambda archive: name in archive.metadata, unpack):
            if (root / name).exists():
                return root / name
        where = holding[0][1] if holding else self.folder
        raise BenchmarkError(f"{where} does not hold {name}; get it again.")

    def images(
        self, files: Iterable[str], unpack: Callable[[Path], Path | None]
    ) -> tuple[dict[str, tuple[Path, int]], list[str]]:
        """Looks for images that are files and not empty.

        Args:
            files: names as the metadata have them; on disk they may be decomposed as some systems do it.
            unpack: as for `metadata`; asked for the archives that hold what does not lie unpacked.

        Returns:
            The path and the size in bytes of each image found, by its name; and the names of those that are
            neither there nor in an archive.

        Raises:
            StillPackedError: when some are in an archive that was not unpacked, and all others are there.
        """
        wanted = list(files)
        found = {} if self.alone else _files_in(self._folders([self.folder]), wanted)
        absent = [file for file in wanted if file not in found]
        covering = [
            (archive, path)
            for archive, path in self.archives
            if any(file.startswith(archive.images) for file in absent)
        ]
        beginnings = tuple(beginning for archive, _ in covering for beginning in archive.images)
        if nowhere := [file for file in absent if not file.startswith(beginnings)]:
            return found, nowhere  # nothing is unpacked in vain
        for one in covering:
            if absent:
                roots = self._inside([one], lambda archive: bool(archive.images), unpack)
                found |= _files_in(self._folders(roots), absent)
                absent = [file for file in absent if file not in found]
        return found, absent

    def _beside(self, name: str) -> bool:
        return not self.alone and (self.folder / name).exists()

    def _folders(self, roots: Iterable[Path]) -> list[Path]:
        candidates = (root / name for root in roots for name in self.layout.images)
        return [folder for folder in candidates if folder.is_dir()]

    def _inside(
        self,
        archives: Iterable[tuple[Archive, Path]],
        wanted: Callable[[Archive], bool],
        unpack: Callable[[Path], Path | None],
    ) -> Iterator[Path]:
        """The folders of the layout in what archives were unpacked into, and in archives in these."""
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


def places(layouts: Iterable[Layout], data: Path) -> tuple[list[DatasetLocation], list[Path]]:
    """Where something of a data set lies: first where nothing of the metadata lacks.

    Args:
        layouts: its layouts, the likeliest first.
        data: the data folder.

    Returns:
        The places, and files that are named as archives are but are none.
    """
    found: list[DatasetLocation] = []
    broken: list[Path] = []
    for layout in layouts:
        for folder in (data / name for name in layout.folders):
            named = [(archive, folder / archive.name) for archive in layout.archives]
            there = [(archive, path) for archive, path in named if path.is_file()]
            broken += [path for _, path in there if not is_archive(path) and path not in broken]
            sound = [
                (archive, path)
                for archive, path in there
                if path not in broken and (not archive.sign or lists(path, archive.sign))
            ]
            if sound or any((folder / name).exists() for name in layout.metadata):
                found.append(DatasetLocation(layout, folder, tuple(sound)))
            found += [
                DatasetLocation(layout, folder, (one,), alone=True)
                for one in sound
                if set(one[0].metadata) >= set(layout.metadata)
            ]
    return sorted(found, key=lambda place: bool(place.lacking())), broken


def _files_in(folders: list[Path], names: Iterable[str]) -> dict[str, tuple[Path, int]]:
    """The path and the size of each file that is in one of some folders and not empty."""
    found = {}
    for name in names:
        for path in (f"{folder}/{spelt}" for spelt in _spellings(name) for folder in folders):
            try:
                about = os.stat(path)  # noqa: PTH116 (a hundred thousand times: three times as fast)
            except (OSError, ValueError):  # a name with a zero byte is no path
                continue
            if stat.S_ISREG(about.st_mode) and about.st_size:
                found[name] = Path(path), about.st_size
                break
    return found


def _spellings(name: str) -> Iterable[str]:
    if name.isascii():
        return (name,)
    return dict.fromkeys((name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD"))))
