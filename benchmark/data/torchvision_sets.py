"""Small data sets that torchvision knows, their classes divided for metric learning."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, ClassVar, NamedTuple, NoReturn

import torch
from pydantic import Field, field_validator
from torch import Tensor

from benchmark.core.errors import BenchmarkError
from benchmark.data import image_files
from benchmark.data.base import Counts, Dataset, Folders, ImageSet, Split
from benchmark.data.blank import blank_split
from benchmark.data.cache import cached, fingerprint


class Remote(NamedTuple):
    """A file that can be fetched: its address, its place below the data folder, its checksum."""

    url: str
    place: str
    md5: str


class TorchvisionSet(Dataset):
    """Images of all parts of a data set together; the first classes are for training, the others for testing.

    The parts that its authors made share their classes, which metric learning's must not. Addresses,
    checksums and layouts are torchvision's; archives need not be unpacked. Images are uint8 in [0, 255],
    shape (n, C, H, W); ids are row numbers in the whole data set. What is taken is kept in the cache.

    Attributes:
        per_class: how many images of each class are taken, the first ones; none takes all.
    """

    classes: ClassVar[int]
    images_per_class: ClassVar[int]
    image_shape: ClassVar[tuple[int, int, int]]

    per_class: Annotated[int, Field(ge=2)] | None = 200

    @field_validator("per_class")
    @classmethod
    def _as_many_as_there_are(cls, per_class: int | None) -> int | None:
        if per_class is not None and per_class > cls.images_per_class:
            raise ValueError(f"there are {cls.images_per_class} images of each class")
        return per_class

    @property
    def official(self) -> Counts:  # type: ignore[override]  # a constant of other data sets
        """The counts under these parameters."""
        each = self.per_class or self.images_per_class
        training, testing = self.training_classes, self.classes - self.training_classes
        return Counts(training, training * each, testing, testing * each)

    @property
    def training_classes(self) -> int:
        """How many of the classes are for training, the first ones."""
        return self.classes // 2

    def remotes(self) -> list[Remote]:
        """What `download` fetches."""
        raise NotImplementedError

    def check(self, folders: Folders) -> None:
        """Looks whether the files are there, without reading them.

        Raises:
            BenchmarkError: when one is not, or is cut off as far as its size tells.
        """
        raise NotImplementedError

    def contents(self, folders: Folders) -> object:
        """What tells the files' contents from others, as JSON can write it.

        Raises:
            BenchmarkError: when files are missing or damaged.
        """
        raise NotImplementedError

    def decoded(self, folders: Folders) -> tuple[Tensor, Tensor]:
        """All images, uint8, shape (n, C, H, W), and their classes, int64, shape (n,).

        Raises:
            BenchmarkError: when files are missing or damaged.
        """
        raise NotImplementedError

    def missing(self, folders: Folders) -> str | None:
        """Which file is not there and where it is to be had, or None; checksums are left to `read`."""
        try:
            self.check(folders)
        except BenchmarkError as error:
            return str(error)
        return None

    def download(self, folders: Folders) -> None:
        """Fetches the archives from where torchvision has them, and checks them.

        Raises:
            BenchmarkError: when one did not come whole.
        """
        from benchmark.data.downloads import fetch

        for remote in self.remotes():
            fetch(remote.url, folders.data / remote.place, remote.md5)

    def fingerprint(self, folders: Folders) -> str:
        """A hash of the parameters, the files' contents, these sources, and the versions that decode."""
        parameters = {key: getattr(self, key) for key in type(self).model_fields if key != "validation"}
        modules = (inspect.getfile(type(self)), __file__, image_files.__file__)
        sources = [hashlib.sha256(Path(module).read_bytes()).hexdigest() for module in modules]
        return fingerprint(parameters, self.contents(folders), sources, image_files.decoder_versions())

    def read(self, folders: Folders) -> Split:
        """Reads the images from the data folder, or from the cache when they were read before.

        Raises:
            BenchmarkError: when files are missing, damaged, or not as many as there should be.
        """
        self.check(folders)
        file = folders.cache / f"{self.name}-{self.fingerprint(folders)}.safetensors"
        taken = cached(file, lambda: self._taken(folders))
        everything = ImageSet(taken["images"], taken["labels"], taken["ids"])
        return Split(
            train=everything.of_classes(torch.arange(self.training_classes)),
            test=everything.of_classes(torch.arange(self.training_classes, self.classes)),
        )

    def blank(self) -> Split:
        """Black images in the same numbers."""
        return blank_split(self.official, self.image_shape)

    def absent(self, folders: Folders, looked_for: Iterable[Path]) -> NoReturn:
        """Says that files are missing, where they were looked for, and where they are to be had.

        Raises:
            BenchmarkError: always.
        """
        assert self.about is not None
        places = " or ".join(str(path.relative_to(folders.data)) for path in looked_for)
        raise BenchmarkError(
            f"{self.name} is not whole in {folders.data}: there is no {places}. Fetch it with --download "
            f"({self.about.size}) or from {self.about.source}, or name its folder with --data-root."
        )

    def damaged(self, file: Path, reason: str) -> NoReturn:
        """Says that a file is damaged, and what to do.

        Raises:
            BenchmarkError: always.
        """
        assert self.about is not None
        raise BenchmarkError(
            f"{file} is damaged ({reason}): delete it, and fetch it again with --download "
            f"({self.about.size}) or from {self.about.source}."
        )

    def _taken(self, folders: Folders) -> dict[str, Tensor]:
        images, labels = self.decoded(folders)
        counts = torch.bincount(labels, minlength=self.classes)
        if counts.tolist() != [self.images_per_class] * self.classes:
            raise BenchmarkError(
                f"{self.name} in {folders.data} has {len(labels):,} images of {int((counts > 0).sum()):,} "
                f"classes where {self.images_per_class:,} of each of {self.classes:,} belong: delete it and "
                "fetch it again (--download)."
            )
        each = self.per_class or self.images_per_class
        rows = labels.argsort(stable=True).view(self.classes, -1)[:, :each].flatten().sort().values
        return {"images": images[rows], "labels": labels[rows], "ids": rows}
