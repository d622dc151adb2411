"""Small data sets of torchvision, their classes divided for metric learning."""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from benchmark.core.errors import BenchmarkError
from benchmark.data.base import Counts, Dataset, Folders, ImageSet, Split, blank_split


class TorchvisionSet(Dataset):
    """Images of both of a data set's own parts together; the first half of its classes is for training.

    Its own parts share their classes, which metric learning's must not. Images are uint8 in their own size.

    Attributes:
        per_class: how many images of each class are taken, the first ones; none takes all. Ten classes of
            thousands of images say no more about retrieval than a few hundred do, at a multiple of the cost.
    """

    classes: ClassVar[int]
    images_per_class: ClassVar[int]
    image_shape: ClassVar[tuple[int, int, int]]

    per_class: Annotated[int, Field(ge=2)] | None = 200

    @property
    def official(self) -> Counts:  # type: ignore[override]  # a constant of other data sets
        """The counts under these parameters."""
        half, each = (
            self.training_classes,
            min(self.per_class or self.images_per_class, self.images_per_class),
        )
        return Counts(half, half * each, self.classes - half, (self.classes - half) * each)

    @property
    def training_classes(self) -> int:
        """How many of the classes are for training, the first ones."""
        return self.classes // 2

    def missing(self, folders: Folders) -> str | None:
        """Whether the files are in the data folder; torchvision checks those that have a checksum."""
        try:
            self._open(folders)
        except BenchmarkError as error:
            return str(error)
        return None

    def download(self, folders: Folders) -> None:
        """Lets torchvision fetch the files and check them.

        Raises:
            BenchmarkError: when they did not come whole.
        """
        try:
            folders.data.mkdir(parents=True, exist_ok=True)
            with contextlib.redirect_stdout(sys.stderr):
                self.sources(folders.data, download=True)
        except Exception as error:  # torchvision and urllib raise many kinds
            raise BenchmarkError(
                f"{self.name} cannot be fetched to {folders.data}: {str(error).splitlines()[0]}"
            ) from None

    def read(self, folders: Folders) -> Split:
        """Reads the images from the data folder.

        Raises:
            BenchmarkError: when files are missing, damaged, or not as many as there should be.
        """
        images, labels = self.decoded(folders)
        counts = torch.bincount(labels, minlength=self.classes)
        if counts.tolist() != [self.images_per_class] * self.classes:
            raise BenchmarkError(
                f"{self.name} in {folders.data} has {len(labels):,} images of {int((counts > 0).sum())} "
                f"classes where {self.images_per_class:,} of each of {self.classes} belong: fetch it again "
                "(--download)."
            )
        each = self.per_class or self.images_per_class
        rows = (
            torch.cat([(labels == label).nonzero()[:each, 0] for label in range(self.classes)]).sort().values
        )
        everything = ImageSet(images[rows], labels[rows], rows)
        half = self.training_classes
        return Split(
            train=everything.of_classes(torch.arange(half)),
            test=everything.of_classes(torch.arange(half, self.classes)),
        )

    def decoded(self, folders: Folders) -> tuple[Tensor, Tensor]:
        """All images, uint8, shape (n, C, H, W), and their classes, shape (n,)."""
        parts = self._open(folders)
        pixels = np.concatenate([np.asarray(part.data) for part in parts])
        images = torch.from_numpy(pixels)
        images = images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2).contiguous()
        return images, torch.cat([torch.as_tensor(part.targets) for part in parts]).long()

    def blank(self) -> Split:
        """Black images in the same numbers."""
        return blank_split(self.official, self.image_shape)

    def sources(self, root: Path, download: bool) -> list[Any]:
        """Torchvision's data sets that make up this one, read from `root`.

        Raises:
            RuntimeError: when they are not there.
        """
        raise NotImplementedError

    def _open(self, folders: Folders) -> list[Any]:
        assert self.about is not None
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                return self.sources(folders.data, download=False)
        except Exception as error:  # whatever torchvision stumbles over in missing or damaged files
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise BenchmarkError(
                f"{self.name} is not whole in {folders.data} ({reason.rstrip('.')}), where "
                f"{self.about.layout} should be. Fetch it with --download ({self.about.size}), or name its "
                "folder with --data-root."
            ) from None
