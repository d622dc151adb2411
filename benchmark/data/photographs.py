"""What the field's data sets of photographs have in common: found, counted, checked, decoded once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Annotated, ClassVar, NamedTuple

import torch
from pydantic import Field, model_validator
from torch import Tensor

from benchmark.core.errors import BenchmarkError
from benchmark.core.seeding import derive_seed
from benchmark.data import image_files
from benchmark.data.archives import unpacked, unpacked_before
from benchmark.data.base import Dataset, Folders, ImageSet, Split, StandIn
from benchmark.data.blank import blank_images, blank_split
from benchmark.data.cache import fingerprint
from benchmark.data.counting import fault
from benchmark.data.layouts import DatasetLocation, Entry, Layout, StillPackedError, places
from benchmark.data.packed import PackedImages, packed, packed_before, select


class Located(NamedTuple):
    """The images of a data set: what the metadata say of each, its file, and a hash of all they depend on."""

    entries: list[Entry]
    files: list[Path]
    key: str


class Photographs(Dataset):
    """Photographs with the split that the field trains and tests on; subclasses say how they lie on disk.

    Each is decoded once, its shorter side scaled to `resize`, and kept whole, so that training crops come
    from all of it; what is tested is the central square. Images are uint8 RGB; ids are hashes of file names.

    Attributes:
        size: side in pixels of the square that models see.
        resize: length in pixels of the shorter side as it is kept.
        partial: a part of the data set will do: counts are not checked. It shows in the name of the data set.
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
        """What is not there, or not whole, where it was looked for and where it is to be had; or None.

        Reads the metadata and looks for every image, but into no archive.
        """
        try:
            _locate(self, folders, unpack=False)
        except BenchmarkError as error:
            return str(error)
        return None

    def read(self, folders: Folders) -> Split:
        """Decodes the photographs, or opens the file that they were decoded into before.

        Raises:
            BenchmarkError: when files are missing, damaged, or not as many as there should be.
        """
        located = _here(self, folders)
        self.check_files(folders)
        path = self._decoded(located, folders)
        return self._split(packed(path, located.files, self.resize, self.size, self.name), located.entries)

    def seen_shape(self, folders: Folders) -> tuple[int, int, int]:
        """(C, H, W) of one image; none has to be decoded for it."""
        return 3, self.size, self.size

    def fingerprint(self, folders: Folders) -> str:
        """A hash of the metadata, the sizes of the files and what decodes them; a copy has the same one.

        Raises:
            BenchmarkError: as `read` does.
        """
        return _here(self, folders).key

    def check_files(self, folders: Folders) -> None:
        """Counts the images and looks at the header of each, where they were not decoded before.

        Raises:
            BenchmarkError: as `read` does, but for damage that only decoding tells.
        """
        if not folders.blank:
            _check_headers(self, folders)

    def stand_in(self, folders: Folders) -> StandIn:
        """Black images with the labels and ids of what is here, or in the official numbers."""
        return _stand_in(self, folders)

    def blank(self) -> Split:
        """Black images in the official numbers."""
        assert self.official is not None
        return blank_split(self.official, (3, self.size, self.size))

    def lacks(self, what: str) -> BenchmarkError:
        """What to raise where something is not as it should be: what, and where the whole is to be had.

        Args:
            what: goes on from the name of the data set, and says where it was looked for.
        """
        if self.about is None:
            return BenchmarkError(f"{self.name} {what}.")
        fetched = ", or fetch it with --download" if type(self).download is not Dataset.download else ""
        return BenchmarkError(
            f"{self.name} {what}. Get it from {self.about.source} ({self.about.size}){fetched}."
        )

    def _decoded(self, located: Located, folders: Folders) -> Path:
        """The path without an ending of what the photographs are decoded into."""
        return folders.cache / f"{self.name}-{located.key}"

    def _split(self, images: Tensor | PackedImages, entries: list[Entry]) -> Split:
        """The sides of the data set, labels contiguous from 0 in the order of the metadata's."""

        def side(kept: list[bool]) -> ImageSet:
            rows = torch.tensor(kept).nonzero().squeeze(1)
            mine = [entry for entry, keep in zip(entries, kept, strict=True) if keep]
            queries = torch.tensor([entry.side == "query" for entry in mine])
            return ImageSet(
                select(images, rows),
                torch.tensor([entry.label for entry in mine]).unique(return_inverse=True)[1],
                torch.tensor([derive_seed("photograph", entry.file) for entry in mine]),
                queries if bool(queries.any()) else None,
            )

        train = [entry.side == "train" for entry in entries]
        return Split(side(train), side([not one for one in train]))

    def _at(self, place: DatasetLocation, unpack: Callable[[Path], Path | None]) -> Located:
        """The images at a place.

        Raises:
            StillPackedError: when an archive has to be unpacked first.
            BenchmarkError: when something is missing or wrong.
        """
        layout, folder = place.layout, place.folder
        archives = [path for _, path in place.archives]
        if lacking := place.lacking():
            beside = f" beside {' and '.join(path.name for path in archives)}" if archives else ""
            raise self.lacks(f"is not whole: there is no {' and no '.join(lacking)} in {folder}{beside}")
        entries = layout.entries(lambda name: place.metadata(name, unpack))
        if wrong := fault(entries, None if self.partial else self.official):
            part = "" if self.partial else f"; for a part of it there is {self.name}[partial=true]"
            raise self.lacks(f"{wrong}, as {folder} has it{part}")
        found, absent = place.images([entry.file for entry in entries], unpack)
        if absent:
            holding = [path for archive, path in place.archives if absent[0].startswith(archive.images)]
            others = " or ".join(a.name for a in layout.archives if absent[0].startswith(a.images))
            todo = (
                f"not in {holding[0]} either: get it again, or delete the folder 'unpacked' of the cache"
                if holding
                else f"unpack them, or put {others or 'them'} there"
            )
            raise self.lacks(
                f"is not whole: {len(absent):,} of {len(entries):,} images are missing or empty in {folder}, "
                f"the first is {absent[0]}; {todo}"
            )
        source = hashlib.sha256(Path(image_files.__file__).read_bytes()).hexdigest()
        key = fingerprint(
            [list(entry) for entry in entries],
            [found[entry.file][1] for entry in entries],
            self.size,
            self.resize,
            source,
            image_files.decoder_versions(),
        )
        return Located(entries, [found[entry.file][0] for entry in entries], key)


def _locate(dataset: Photographs, folders: Folders, unpack: bool) -> Located | None:
    """The images of a data set; None where an archive has to be unpacked first, and is not to be.

    What lies unpacked is taken before what is packed, and what is whole before what is not.

    Raises:
        BenchmarkError: when something is missing or wrong, telling of the place where least is.
    """
    found, broken = places(dataset.layouts, folders.data)
    packed_up: list[DatasetLocation] = []
    problems: list[BenchmarkError] = []
    for place in found:
        try:
            return dataset._at(place, lambda path: unpacked_before(path, folders.cache))
        except StillPackedError:  # noqa: PERF203 (few places)
            packed_up.append(place)
        except BenchmarkError as error:
            problems.append(error)
    if packed_up:
        first = min(packed_up, key=lambda place: not place.alone)  # what lies unpacked may be in its way
        return dataset._at(first, lambda path: unpacked(path, folders.cache)) if unpack else None
    if broken:
        raise dataset.lacks(f"has a file that is no archive: {broken[0]}; delete it")
    if problems:
        raise problems[0]
    layout = dataset.about.layout if dataset.about else "it"
    raise dataset.lacks(
        f"is not in {folders.data}, where {layout} should be; another folder is named with --data-root"
    )


@lru_cache(maxsize=8)
def _here(dataset: Photographs, folders: Folders) -> Located:
    located = _locate(dataset, folders, unpack=True)
    assert located is not None
    return located


@lru_cache(maxsize=8)
def _check_headers(dataset: Photographs, folders: Folders) -> None:
    located = _here(dataset, folders)
    if packed_before(dataset._decoded(located, folders), len(located.files), dataset.size) is None:
        image_files.check_headers(located.files, dataset.name)


@lru_cache(maxsize=8)
def _stand_in(dataset: Photographs, folders: Folders) -> StandIn:
    try:
        located = _locate(dataset, folders, unpack=False)
    except BenchmarkError:
        located = None
    if located is None:
        return StandIn(dataset.blank(), "blank")
    images = blank_images(len(located.entries), (3, dataset.size, dataset.size))
    return StandIn(dataset._split(images, located.entries), located.key)
