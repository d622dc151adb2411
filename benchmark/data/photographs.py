"""The base class of the field's data sets of photographs: found, counted, checked and decoded once."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Annotated, ClassVar, NamedTuple

import torch
from pydantic import Field, model_validator
from torch import Tensor

from benchmark.core.code import code_digest
from benchmark.core.errors import BenchmarkError
from benchmark.core.seeding import derive_seed
from benchmark.data import image_files
from benchmark.data.archives import already_unpacked, unpacked
from benchmark.data.base import BlankData, Dataset, Folders, ImageSet, Split
from benchmark.data.blank import blank_images, blank_split
from benchmark.data.cache import fingerprint
from benchmark.data.counting import find_inconsistency
from benchmark.data.layouts import DatasetLocation, Entry, Layout, StillPackedError, find_locations
from benchmark.data.nearby import find_nearby, why_not_there
from benchmark.data.packed import PackedImages, open_packed, packed, select


class Located(NamedTuple):
    """The images of a data set: metadata entries, files, and a hash of everything that they depend on."""

    entries: list[Entry]
    files: list[Path]
    key: str


class Photographs(Dataset):
    """Photographs with the field's split; subclasses declare their layouts on disk.

    Each is decoded once, its shorter side scaled to `resize`, and kept uncropped, so that training crops can
    come from all of it; tests use the central square. Images are uint8 RGB; ids are hashes of file names.

    Attributes:
        size: side in pixels of the square that models see.
        resize: length in pixels of the shorter side as it is stored.
        partial: accept a part of the data set, without checking counts. It shows in the data set's spec.
    """

    # The L2 radius that encloses this L_inf ball would be 12 at this size; robust classifiers use 3.
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
        """Return what is missing or incomplete, where it was looked for and how to get it; or None.

        Reads the metadata and looks for every image, but does not look into archives.
        """
        try:
            _locate(self, folders, unpack=False)
        except BenchmarkError as error:
            return str(error)
        return None

    def read(self, folders: Folders) -> Split:
        """Decode the photographs, or open the file that they were decoded into before.

        Raises:
            BenchmarkError: when files are missing or damaged, or their number is not the official one.
        """
        located = _located(self, folders)
        self.check_files(folders)
        path = self._decoded(located, folders)
        return self._split(packed(path, located.files, self.resize, self.size, self.name), located.entries)

    def seen_shape(self, folders: Folders) -> tuple[int, int, int]:
        """(C, H, W) of one image, without decoding any."""
        return 3, self.size, self.size

    def fingerprint(self, folders: Folders) -> str:
        """Return a hash of the metadata, the file sizes and the decoder; a copy has the same hash.

        Raises:
            BenchmarkError: as `read` does.
        """
        return _located(self, folders).key

    def check_files(self, folders: Folders) -> None:
        """Count the images and check the header of each, unless they were decoded before.

        Raises:
            BenchmarkError: as `read` does, except for damage that only decoding finds.
        """
        if not folders.blank:
            _check_headers(self, folders)

    def blank_data(self, folders: Folders) -> BlankData:
        """Return black images with the labels and ids found on disk, or else in the official numbers."""
        return _blank_data(self, folders)

    def blank(self) -> Split:
        """Return black images in the official numbers."""
        assert self.official is not None
        return blank_split(self.official, (3, self.size, self.size))

    def unusable(self, what: str) -> BenchmarkError:
        """Build the error for missing or wrong files: what is wrong, and how to get the data set.

        Args:
            what: follows the name of the data set in the message, and says where it was looked for.
        """
        if self.about is None:
            return BenchmarkError(f"{self.name} {what}.")
        download = ", or fetch it with --download" if type(self).download is not Dataset.download else ""
        return BenchmarkError(
            f"{self.name} {what}. Get it from {self.about.source} ({self.about.size}){download}."
        )

    def _decoded(self, located: Located, folders: Folders) -> Path:
        """Return the path without a suffix of the files that the photographs are decoded into."""
        return folders.cache / f"{self.name}-{located.key}"

    def _split(self, images: Tensor | PackedImages, entries: list[Entry]) -> Split:
        """Split the images; labels are contiguous from 0, in the order of the labels in the metadata."""

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

    def _read_location(self, location: DatasetLocation, unpack: Callable[[Path], Path | None]) -> Located:
        """Find the images at a location.

        Raises:
            StillPackedError: when an archive has to be unpacked first.
            BenchmarkError: when something is missing or wrong.
        """
        layout, folder = location.layout, location.folder
        archives = [path for _, path in location.archives]
        if lacking := location.missing_metadata():
            beside = f" beside {' and '.join(path.name for path in archives)}" if archives else ""
            raise self.unusable(f"is incomplete: there is no {' and no '.join(lacking)} in {folder}{beside}")
        entries = layout.entries(lambda name: location.metadata(name, unpack))
        if problem := find_inconsistency(entries, None if self.partial else self.official):
            part = "" if self.partial else f"; to use a part of it, write {self.name}[partial=true]"
            raise self.unusable(f"{problem}, according to the metadata in {folder}{part}")
        found, absent = location.images([entry.file for entry in entries], unpack)
        if absent:
            holding = [path for archive, path in location.archives if absent[0].startswith(archive.images)]
            others = " or ".join(a.name for a in layout.archives if absent[0].startswith(a.images))
            todo = (
                f"not in {holding[0]} either: download it again, or delete the folder 'unpacked' of the cache"
                if holding
                else f"unpack them, or put {others or 'them'} there"
            )
            raise self.unusable(
                f"is incomplete: {len(absent):,} of {len(entries):,} images are missing or empty in "
                f"{folder}, the first is {absent[0]}; {todo}"
            )
        source = code_digest(Path(image_files.__file__))
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
    """Find the images of a data set; None where an archive must be unpacked first and `unpack` is false.

    Unpacked files take precedence over archives, and complete locations over incomplete ones.

    Raises:
        BenchmarkError: when something is missing or wrong; it describes the most complete location.
    """
    try:
        found, not_archives = find_locations(dataset.layouts, folders.data)
    except OSError as error:
        reason = error.strerror or str(error)
        raise dataset.unusable(f"cannot be read: {error.filename or folders.data}: {reason}") from None
    still_packed: list[DatasetLocation] = []
    problems: list[BenchmarkError] = []
    for location in found:
        try:
            return dataset._read_location(location, lambda path: already_unpacked(path, folders.cache))
        except StillPackedError:  # noqa: PERF203 (few locations)
            still_packed.append(location)
        except BenchmarkError as error:
            problems.append(error)
    if still_packed:
        # Archives without what is unpacked beside them first: that may be damaged.
        first = min(still_packed, key=lambda location: not location.packed_only)
        return dataset._read_location(first, lambda path: unpacked(path, folders.cache)) if unpack else None
    if not_archives:
        raise dataset.unusable(f"has a file that is not an archive: {not_archives[0]}; delete it")
    if problems:
        raise problems[0]
    raise dataset.unusable(_nowhere(dataset, folders.data))


def _nowhere(dataset: Photographs, data: Path) -> str:
    """What is wrong when no part of a data set is in the data folder."""
    layout = dataset.about.layout if dataset.about else "it"
    if obstacle := why_not_there(data):
        return f"is not in {data}, {obstacle}; --data-root names the folder where {layout} is"
    looked = f"is not in {data}, where {layout} should be"
    if nearby := find_nearby(dataset.layouts, data):
        return f"{looked}; it seems to be in a folder there: --data-root '{nearby}'"
    return f"{looked}; --data-root names another folder"


@lru_cache(maxsize=8)
def _located(dataset: Photographs, folders: Folders) -> Located:
    located = _locate(dataset, folders, unpack=True)
    assert located is not None
    return located


@lru_cache(maxsize=8)
def _check_headers(dataset: Photographs, folders: Folders) -> None:
    located = _located(dataset, folders)
    if open_packed(dataset._decoded(located, folders), len(located.files), dataset.size) is None:
        image_files.check_headers(located.files, dataset.name)


@lru_cache(maxsize=8)
def _blank_data(dataset: Photographs, folders: Folders) -> BlankData:
    try:
        located = _locate(dataset, folders, unpack=False)
    except BenchmarkError:
        located = None
    if located is None:
        return BlankData(dataset.blank(), "blank")
    images = blank_images(len(located.entries), (3, dataset.size, dataset.size))
    return BlankData(dataset._split(images, located.entries), located.key)
