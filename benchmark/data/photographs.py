"""What the field's data sets of photographs have in common: found, counted, checked, decoded once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Annotated, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field, model_validator

from benchmark.core.errors import BenchmarkError
from benchmark.core.seeding import derive_seed
from benchmark.data import image_files
from benchmark.data.archives import unpacked
from benchmark.data.base import Dataset, Folders, ImageSet, Split, blank_split
from benchmark.data.cache import fingerprint
from benchmark.data.packed import packed, select

Side = Literal["train", "test", "query", "gallery"]


class Entry(NamedTuple):
    """One image as the metadata list it.

    Attributes:
        file: relative to the folder that `Layout.images` finds, with forward slashes.
        label: its class; classes are ordered by it.
        side: which part it belongs to.
    """

    file: str
    label: int
    side: Side


class Layout(NamedTuple):
    """One of the forms in which a data set lies on disks.

    Attributes:
        folders: where it may be below the data folder.
        marker: what must be in one of them, a file or folder of metadata.
        images: folders that images may be in, relative to the same.
        archives: archives, below the data folder or beside the marker, that hold the whole or the images.
        entries: reads the metadata in the folder.
    """

    folders: tuple[str, ...]
    marker: str
    images: tuple[str, ...]
    archives: tuple[str, ...]
    entries: Callable[[Path], list[Entry]]


class Found(NamedTuple):
    """Where a data set is: its layout, the folder of its metadata, and the archives that are still packed."""

    layout: Layout
    folder: Path | None
    archives: tuple[Path, ...]


class Photographs(Dataset):
    """Photographs with the split that the field trains and tests on; subclasses say how they lie on disk.

    Each is decoded once, its shorter side scaled to `resize`, and kept whole, so that training crops come
    from all of it; what is tested is the central square. Images are uint8 RGB; ids are hashes of file names.

    Attributes:
        size: side in pixels of the square that models see.
        resize: length in pixels of the shorter side as it is kept.
        partial: a part of the data set will do: counts are not checked, and classes without images are left
            out. It shows in the name of the data set.
    """

    # A budget in L2 as large as that in L_inf would be 12 at this size; robust classifiers are tested at 3.
    headline_eps: ClassVar[dict[str, float]] = {"linf": 8 / 255, "l2": 3.0}
    natural: ClassVar[bool] = True
    layouts: ClassVar[tuple[Layout, ...]] = ()

    size: Annotated[int, Field(ge=16, le=1024)] = 224
    resize: Annotated[int, Field(ge=16, le=2048)] = 256
    partial: bool = False

    @model_validator(mode="after")
    def _window_fits(self) -> Photographs:
        if self.resize < self.size:
            raise ValueError(f"size={self.size} does not fit into resize={self.resize}")
        return self

    def missing(self, folders: Folders) -> str | None:
        """What is not there, or not whole, where it was looked for and where it is to be had; or None."""
        try:
            found = self._find(folders)
            if found.folder is not None:
                entries = found.layout.entries(found.folder)
                self.check(entries)
                if not (found.archives or _images(found.layout, [found.folder], entries)):
                    return _without_images(self, folders, entries)
        except BenchmarkError as error:
            return str(error)
        return None

    def read(self, folders: Folders) -> Split:
        """Decodes the photographs, or opens the file that they were decoded into before.

        Raises:
            BenchmarkError: when files are missing, damaged, or not as many as there should be.
        """
        root, entries, key = _index(self, folders)
        files = [root / entry.file for entry in entries]
        images = packed(folders.cache / f"{self.name}-{key}", files, self.resize, self.size, self.name)
        names = [hash_of(entry.file) for entry in entries]
        sides = []
        for wanted in (("train",), ("test", "query", "gallery")):
            rows = torch.tensor([row for row, entry in enumerate(entries) if entry.side in wanted])
            labels = torch.tensor([entries[row].label for row in rows.tolist()])
            queries = torch.tensor([entries[row].side == "query" for row in rows.tolist()])
            sides.append(
                ImageSet(
                    select(images, rows),
                    labels.unique(return_inverse=True)[1],
                    torch.tensor([names[row] for row in rows.tolist()]),
                    queries if bool(queries.any()) else None,
                )
            )
        return Split(*sides)

    def fingerprint(self, folders: Folders) -> str:
        """A hash of the metadata, the sizes of the files and what decodes them; a copy has the same one.

        Raises:
            BenchmarkError: as `read` does.
        """
        return _index(self, folders)[2]

    def blank(self) -> Split | None:
        """Black images in the official numbers."""
        return blank_split(self.official, (3, self.size, self.size)) if self.official else None

    def check(self, entries: Iterable[Entry]) -> None:
        """Holds what the metadata list against the official counts, and test against training classes.

        Raises:
            BenchmarkError: when there are other numbers of classes or images, and `partial` is not set.
        """
        entries = list(entries)
        groups = {
            "training": [entry for entry in entries if entry.side == "train"],
            "test": [entry for entry in entries if entry.side != "train"],
        }
        classes = {name: {entry.label for entry in group} for name, group in groups.items()}
        if both := classes["training"] & classes["test"]:
            raise BenchmarkError(f"{self.name}: class {min(both)} is in the training and in the test set.")
        if len(names := {entry.file for entry in entries}) != len(entries):
            raise BenchmarkError(f"{self.name}: {len(entries) - len(names)} images are listed twice.")
        if min(map(len, classes.values())) < 2:
            raise BenchmarkError(f"{self.name}: training and test set need two classes or more each.")
        if self.partial or self.official is None:
            return
        official = self.official
        wanted = {
            "training": (official.train_classes, official.train_images),
            "test": (official.test_classes, official.test_images),
        }
        for name, (class_count, image_count) in wanted.items():
            have = len(classes[name]), len(groups[name])
            if have != (class_count, image_count):
                raise BenchmarkError(
                    f"{self.name} has {have[1]:,} {name} images of {have[0]:,} classes where {image_count:,} "
                    f"of {class_count:,} belong: unpack it again, or use {self.name}[partial=true]."
                )

    def _find(self, folders: Folders) -> Found:
        still_packed: list[Found] = []
        for layout in self.layouts:
            for folder in (folders.data / name for name in layout.folders):
                beside = tuple(path for name in layout.archives if (path := folder / name).is_file())
                if (folder / layout.marker).exists():
                    return Found(layout, folder, beside)
                if beside:
                    still_packed.append(Found(layout, None, beside))
        if still_packed:
            return still_packed[0]
        assert self.about is not None
        raise BenchmarkError(
            f"{self.name} is not in {folders.data}, where {self.about.layout} should be. Get it from "
            f"{self.about.source} ({self.about.size}), and name its folder with --data-root (--list-data)."
        )

    def _locate(self, folders: Folders) -> tuple[Path, list[Entry]]:
        """The folder that the entries' files are in, and the entries."""
        found = self._find(folders)
        layout = found.layout
        if found.folder is not None:
            entries = layout.entries(found.folder)
            self.check(entries)
            if (place := _images(layout, [found.folder], entries)) is not None:
                return place, entries
        roots = [unpacked(archive, folders.cache) for archive in found.archives]
        places = [*roots, *(root / name for root in roots for name in layout.folders)]
        if found.folder is None:
            metadata = next((place for place in places if (place / layout.marker).exists()), None)
            if metadata is None:
                raise BenchmarkError(f"{found.archives[0]} does not hold {layout.marker}; get it again.")
            entries = layout.entries(metadata)
            self.check(entries)
        if (place := _images(layout, places, entries)) is not None:
            return place, entries
        raise BenchmarkError(_without_images(self, folders, entries))


def _images(layout: Layout, places: Iterable[Path], entries: list[Entry]) -> Path | None:
    """The folder that the images are in, as the first of them tells; None where it is in none."""
    candidates = (place / name for place in places for name in layout.images)
    return next((folder for folder in candidates if (folder / entries[0].file).is_file()), None)


def _without_images(dataset: Photographs, folders: Folders, entries: list[Entry]) -> str:
    return (
        f"The metadata of {dataset.name} are in {folders.data}, but not its images: {entries[0].file} is "
        "missing. Unpack the archive of the images there."
    )


@lru_cache(maxsize=8)
def _index(dataset: Photographs, folders: Folders) -> tuple[Path, list[Entry], str]:
    """Where the images are, which ones, and a hash of all that the decoded pixels depend on."""
    root, entries = dataset._locate(folders)
    try:
        sizes = [(root / entry.file).stat().st_size for entry in entries]
    except OSError as error:
        raise BenchmarkError(f"The image {error.filename} is missing; unpack the archive again.") from None
    source = hashlib.sha256(Path(image_files.__file__).read_bytes()).hexdigest()
    key = fingerprint(
        [list(entry) for entry in entries],
        sizes,
        dataset.size,
        dataset.resize,
        source,
        image_files.decoder_versions(),
    )
    return root, entries, key


def hash_of(file: str) -> int:
    """The id of an image, by its name in the metadata."""
    return derive_seed("photograph", file)


def table(file: Path, columns: int, skip: int = 0) -> list[list[str]]:
    """The lines of a file of metadata, split at white space; the last column takes what is left over.

    Args:
        file: a text file in UTF-8.
        columns: how many there must be.
        skip: lines at the beginning that are no data.

    Raises:
        BenchmarkError: when the file cannot be read, or a line has fewer columns, naming it.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file"
        raise BenchmarkError(f"{file} cannot be read: {reason}; unpack the archive again.") from None
    rows = []
    for number, line in enumerate(lines[skip:], start=skip + 1):
        if line.strip():
            row = line.split(maxsplit=columns - 1)
            if len(row) != columns:
                raise BenchmarkError(f"{file}, line {number}: {columns} columns belong there, not '{line}'.")
            rows.append(row)
    return rows


def number(text: str, file: Path) -> int:
    """A whole number of a file of metadata.

    Raises:
        BenchmarkError: when it is none.
    """
    try:
        return int(text)
    except ValueError:
        raise BenchmarkError(f"{file}: '{text}' is not a whole number; unpack the archive again.") from None
