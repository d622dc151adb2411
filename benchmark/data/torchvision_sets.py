"""Small data sets that torchvision includes, their classes split for metric learning."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, ClassVar, NamedTuple, NoReturn

import torch
from pydantic import Field, field_validator
from torch import Tensor

from benchmark.core.code import code_digest
from benchmark.core.errors import BenchmarkError
from benchmark.data import image_files
from benchmark.data.base import Counts, Dataset, Folders, ImageSet, Split
from benchmark.data.blank import blank_split
from benchmark.data.cache import cached, fingerprint


class Remote(NamedTuple):
    """A file that can be downloaded: its address, its path in the data folder, its checksum."""

    url: str
    path: str
    md5: str


class TorchvisionSet(Dataset):
    """All parts of a data set together; the first classes are for training, the others for testing.

    The authors' training and test parts share their classes, which metric learning does not allow. Addresses,
    checksums and layouts are torchvision's; archives need not be unpacked. Images are uint8 in [0, 255],
    shape (n, C, H, W); ids are row numbers in the complete data set. The images used are cached.

    Attributes:
        per_class: number of images of each class to use, the first ones; none uses all.
    """

    classes: ClassVar[int]
    images_per_class: ClassVar[int]
    image_shape: ClassVar[tuple[int, int, int]]

    per_class: Annotated[int, Field(ge=2)] | None = 200

    @field_validator("per_class")
    @classmethod
    def _at_most_all(cls, per_class: int | None) -> int | None:
        if per_class is not None and per_class > cls.images_per_class:
            raise ValueError(f"there are {cls.images_per_class} images of each class")
        return per_class

    @property
    def official(self) -> Counts:  # type: ignore[override]  # a constant of other data sets
        """The counts with these parameters."""
        each = self.per_class or self.images_per_class
        training, testing = self.training_classes, self.classes - self.training_classes
        return Counts(training, training * each, testing, testing * each)

    @property
    def training_classes(self) -> int:
        """The number of training classes, the first ones."""
        return self.classes // 2

    def remotes(self) -> list[Remote]:
        """Return the files that `download` fetches."""
        raise NotImplementedError

    def check(self, folders: Folders) -> None:
        """Check that the files exist, without reading them.

        Raises:
            BenchmarkError: when one is missing, or truncated as far as its size shows.
        """
        raise NotImplementedError

    def contents(self, folders: Folders) -> object:
        """Return what identifies the contents of the files, serializable as JSON.

        Raises:
            BenchmarkError: when files are missing or damaged.
        """
        raise NotImplementedError

    def decoded(self, folders: Folders) -> tuple[Tensor, Tensor]:
        """Decode all images, uint8, shape (n, C, H, W), and their classes, int64, shape (n,).

        Raises:
            BenchmarkError: when files are missing or damaged.
        """
        raise NotImplementedError

    def missing(self, folders: Folders) -> str | None:
        """Return which file is missing and how to get it, or None; `read` verifies checksums."""
        try:
            self.check(folders)
        except BenchmarkError as error:
            return str(error)
        return None

    def download(self, folders: Folders) -> None:
        """Download the archives from torchvision's addresses, and verify them.

        Raises:
            BenchmarkError: when a download is incomplete or damaged.
        """
        from benchmark.data.downloads import fetch

        for remote in self.remotes():
            fetch(remote.url, folders.data / remote.path, remote.md5)

    def fingerprint(self, folders: Folders) -> str:
        """Return a hash of the parameters, file contents, these sources and the decoder versions."""
        parameters = {key: getattr(self, key) for key in type(self).model_fields if key != "validation"}
        modules = (inspect.getfile(type(self)), __file__, image_files.__file__)
        sources = [code_digest(Path(module)) for module in modules]
        return fingerprint(parameters, self.contents(folders), sources, image_files.decoder_versions())

    def read(self, folders: Folders) -> Split:
        """Read the images from the data folder, or from the cache when they were read before.

        Raises:
            BenchmarkError: when files are missing or damaged, or the number of images is wrong.
        """
        self.check(folders)
        file = folders.cache / f"{self.name}-{self.fingerprint(folders)}.safetensors"
        tensors = cached(file, lambda: self._selected(folders))
        all_images = ImageSet(tensors["images"], tensors["labels"], tensors["ids"])
        return Split(
            train=all_images.of_classes(torch.arange(self.training_classes)),
            test=all_images.of_classes(torch.arange(self.training_classes, self.classes)),
        )

    def blank(self) -> Split:
        """Return black images in the same numbers."""
        return blank_split(self.official, self.image_shape)

    def raise_missing(self, folders: Folders, looked_for: Iterable[Path]) -> NoReturn:
        """Report missing files, where they were looked for, and how to get them.

        Raises:
            BenchmarkError: always.
        """
        assert self.about is not None
        paths = " or ".join(str(path.relative_to(folders.data)) for path in looked_for)
        raise BenchmarkError(
            f"{self.name} is incomplete in {folders.data}: there is no {paths}. Fetch it with --download "
            f"({self.about.size}) or from {self.about.source}, or name its folder with --data-root."
        )

    def raise_damaged(self, file: Path, reason: str) -> NoReturn:
        """Report a damaged file, and what to do.

        Raises:
            BenchmarkError: always.
        """
        assert self.about is not None
        raise BenchmarkError(
            f"{file} is damaged ({reason}): delete it, and fetch it again with --download "
            f"({self.about.size}) or from {self.about.source}."
        )

    def _selected(self, folders: Folders) -> dict[str, Tensor]:
        images, labels = self.decoded(folders)
        counts = torch.bincount(labels, minlength=self.classes)
        if counts.tolist() != [self.images_per_class] * self.classes:
            raise BenchmarkError(
                f"{self.name} in {folders.data} has {len(labels):,} images of {int((counts > 0).sum()):,} "
                f"classes instead of {self.images_per_class:,} of each of {self.classes:,}: delete it and "
                "fetch it again (--download)."
            )
        each = self.per_class or self.images_per_class
        rows = labels.argsort(stable=True).view(self.classes, -1)[:, :each].flatten().sort().values
        return {"images": images[rows], "labels": labels[rows], "ids": rows}
