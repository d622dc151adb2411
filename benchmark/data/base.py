"""The data set interface: two sets of images whose classes do not overlap."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from benchmark.core.errors import UsageError
from benchmark.core.parameters import Parameters
from benchmark.core.registry import Registry
from benchmark.core.seeding import derive_seed
from benchmark.data.packed import PackedImages, select

_VALIDATION_FRACTION = 0.25


class Folders(NamedTuple):
    """The folders that data sets are read from and written to.

    Attributes:
        cache: holds what was drawn, unpacked or decoded.
        data: holds the archives and folders as they were downloaded.
        blank: replace data sets that are missing, or would have to be decoded, by black images, in order to
            estimate costs.
    """

    cache: Path
    data: Path
    blank: bool = False


class Counts(NamedTuple):
    """Numbers of classes and images of a split, and of the test images that are queries only."""

    train_classes: int
    train_images: int
    test_classes: int
    test_images: int
    queries: int = 0


class About(NamedTuple):
    """How to obtain a data set.

    Attributes:
        source: URL of its page.
        size: size of the download, in words ("1.1 GB").
        license: the license, in words.
        layout: the files or folders that must be in the data folder, in words.
    """

    source: str
    size: str
    license: str
    layout: str


@dataclass(frozen=True)
class ImageSet:
    """Images with labels and ids.

    Attributes:
        images: uint8 in [0, 255], or float32 in [0, 1], shape (n, C, H, W): in memory, or the central crops
            of images of any size in a memory-mapped file.
        labels: class of each image, int64, shape (n,), contiguous from 0.
        ids: id of each image, unique in the data set, int64, shape (n,).
        queries: marks the images that are queries only while all others are the gallery, bool, shape (n,);
            None where each image is a query against all others.
    """

    images: Tensor | PackedImages
    labels: Tensor
    ids: Tensor
    queries: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return int(self.labels.max()) + 1

    def batch(self, indices: Tensor | slice, device: torch.device | str = "cpu") -> Tensor:
        """Return the images at the indices as float32 in [0, 1], shape (b, C, H, W), on the device."""
        images = self.images[indices].to(device)
        return images.float().div(255) if images.dtype == torch.uint8 else images.float()

    def of_classes(self, classes: Tensor) -> ImageSet:
        """Select the images of some classes, relabeled from 0 in the order of their old labels."""
        classes = classes.sort().values
        kept = torch.isin(self.labels, classes)
        labels = torch.searchsorted(classes, self.labels[kept])
        queries = None if self.queries is None else self.queries[kept]
        return ImageSet(select(self.images, kept), labels, self.ids[kept], queries)

    def hold_out(self, fraction: float, max_images: int | None = None) -> tuple[ImageSet, ImageSet]:
        """Split the images by class: a fraction of the classes, at least two, is held out.

        The choice of classes is random but fixed: a training seed never changes the data.

        Args:
            fraction: fraction of the classes to hold out, in (0, 1).
            max_images: upper bound on the number of images held out; classes are dropped to meet it, but two
                are always held out.

        Returns:
            The images of the remaining classes, and those of the classes held out.

        Raises:
            UsageError: when fewer than two classes would remain.
        """
        count = max(2, round(self.num_classes * fraction))
        if self.num_classes - count < 2:
            raise UsageError(
                f"{self.num_classes} training classes are too few to hold out {count} for validation."
            )
        order = list(range(self.num_classes))
        random.Random(derive_seed("hold out")).shuffle(order)
        if max_images is not None:
            images = self.labels.bincount()[torch.tensor(order[:count])].cumsum(0)
            count = max(2, int((images <= max_images).sum()))
        return self.of_classes(torch.tensor(order[count:])), self.of_classes(torch.tensor(order[:count]))


@dataclass(frozen=True)
class Split:
    """Training images, and test images of other classes."""

    train: ImageSet
    test: ImageSet


class BlankData(NamedTuple):
    """Black images that replace those of a data set and take no memory, and their fingerprint."""

    split: Split
    identity: str


class Dataset(Parameters):
    """A data set of the benchmark; subclasses implement `read`.

    With `validation=true` the test classes are not used: a quarter of the training classes, always the same
    ones, replace them. For trials of attacks and protocols.

    Attributes:
        headline_eps: for each norm ("linf", "l2") the budget that the leaderboard is ranked at.
        natural: whether the images are RGB photographs, for which backbones start from ImageNet weights.
        recall_ks: the values of K in Recall@K that the field reports for it.
        about: how to obtain it; None for what needs no download.
        official: the counts given in the field's papers; None where there are none.
    """

    headline_eps: ClassVar[dict[str, float]] = {}
    natural: ClassVar[bool] = False
    recall_ks: ClassVar[tuple[int, ...]] = (1, 2, 4, 8)
    about: ClassVar[About | None] = None
    official: ClassVar[Counts | None] = None

    validation: bool = False

    def as_pool(self, size):
        return self

    def read(self, folders: Folders) -> Split:
        """Read or generate the data set; may keep files in the cache folder.

        Raises:
            BenchmarkError: when files are missing or damaged; the message says which, and what to do.
        """
        raise NotImplementedError

    def fingerprint(self, folders: Folders) -> str:
        """Return a hash of what the images depend on besides parameters and source, such as files."""
        return ""

    def load(self, folders: Folders) -> Split:
        """Load the split to train and test on: the official one, or the validation split."""
        blank = self._blank_data(folders)
        split = blank.split if blank else self.read(folders)
        return Split(*split.train.hold_out(_VALIDATION_FRACTION)) if self.validation else split

    def seen_shape(self, folders: Folders) -> tuple[int, int, int]:
        """(C, H, W) of one image as models see it."""
        return self.load(folders).test.image_shape

    def identity(self, folders: Folders) -> str:
        """Return the fingerprint of what `load` returns."""
        blank = self._blank_data(folders)
        return blank.identity if blank else self.fingerprint(folders)

    def missing(self, folders: Folders) -> str | None:
        """Return why the data set cannot be used on this machine, or None when it can; reads no image."""
        return None

    def check_files(self, folders: Folders) -> None:
        """Run the cheap checks of the files, before any data set of a command is decoded; may unpack.

        Raises:
            BenchmarkError: when files are missing or damaged; the message says which, and what to do.
        """
        return

    def download(self, folders: Folders) -> None:
        """Download the data set into the data folder, show progress, and verify the files.

        Raises:
            UsageError: when it cannot be downloaded by a program.
            BenchmarkError: when the download is incomplete or damaged.
        """
        where = f" Get it from {self.about.source} ({self.about.size})." if self.about else ""
        raise UsageError(f"The data set '{self.name}' cannot be downloaded by a program.{where}")

    def blank(self) -> Split | None:
        """Return black images in the official numbers, to estimate costs where the data set is missing.

        They take no memory. None where the data set has no official counts or no image size of its own.
        """
        return None

    def blank_data(self, folders: Folders) -> BlankData | None:
        """Return black images to estimate costs with in place of `read`; None where `read` is to be called.

        Photographs, which take long to decode, keep their own labels, ids and fingerprint.
        """
        split = self.blank() if self.missing(folders) else None
        return BlankData(split, "blank") if split else None

    def _blank_data(self, folders: Folders) -> BlankData | None:
        return self.blank_data(folders) if folders.blank else None


DATASETS: Registry[Dataset] = Registry("data set", Dataset)
