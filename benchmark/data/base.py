"""What a data set is: two sets of images whose classes do not overlap."""

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

_VALIDATION_SHARE = 0.25


class Folders(NamedTuple):
    """Where data sets are.

    Attributes:
        cache: what was drawn, unpacked or decoded is kept here.
        data: the archives and folders as they were downloaded.
        blank: black images stand in for data sets that are missing or would have to be decoded, to reckon
            costs with.
    """

    cache: Path
    data: Path
    blank: bool = False


class Counts(NamedTuple):
    """How many classes and images a split has, and how many of the test images only query."""

    train_classes: int
    train_images: int
    test_classes: int
    test_images: int
    queries: int = 0


class About(NamedTuple):
    """What a reader must know to get a data set.

    Attributes:
        source: where it is to be had, a URL.
        size: of the download, in words ("1.1 GB").
        licence: in words.
        layout: what must lie in the data folder, in words.
    """

    source: str
    size: str
    licence: str
    layout: str


@dataclass(frozen=True)
class ImageSet:
    """Images with labels and ids.

    Attributes:
        images: uint8 in [0, 255], or float32 in [0, 1], shape (n, C, H, W): in memory, or in a file of images
            of any size that are looked at through a window of that shape.
        labels: class of each image, int64, shape (n,), contiguous from 0.
        ids: an id of each image that is unique in the data set, int64, shape (n,).
        queries: which images only query while all others are the gallery, bool, shape (n,); None where each
            image queries all others.
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
        """The images at the indices as float32 in [0, 1] on the device."""
        images = self.images[indices].to(device)
        return images.float().div(255) if images.dtype == torch.uint8 else images.float()

    def of_classes(self, classes: Tensor) -> ImageSet:
        """The images of some classes, relabelled from 0 in the order of their old labels."""
        classes = classes.sort().values
        kept = torch.isin(self.labels, classes)
        labels = torch.searchsorted(classes, self.labels[kept])
        queries = None if self.queries is None else self.queries[kept]
        return ImageSet(select(self.images, kept), labels, self.ids[kept], queries)

    def hold_out(self, share: float, most: int | None = None) -> tuple[ImageSet, ImageSet]:
        """Divides the images by classes: a share of the classes, at least two, is held out.

        Which ones is random, but always the same: a seed of training never changes the data.

        Args:
            share: share of the classes, in (0, 1).
            most: how many images are held out at most; fewer classes then, if two or more of them stay.

        Returns:
            The images of the other classes, and those of the classes held out.

        Raises:
            UsageError: when fewer than two classes would be left.
        """
        count = max(2, round(self.num_classes * share))
        if self.num_classes - count < 2:
            raise UsageError(
                f"{self.num_classes} training classes are too few to hold out {count} for validation."
            )
        order = list(range(self.num_classes))
        random.Random(derive_seed("hold out")).shuffle(order)
        if most is not None:
            images = self.labels.bincount()[torch.tensor(order[:count])].cumsum(0)
            count = max(2, int((images <= most).sum()))
        return self.of_classes(torch.tensor(order[count:])), self.of_classes(torch.tensor(order[:count]))


@dataclass(frozen=True)
class Split:
    """Training images, and test images of other classes."""

    train: ImageSet
    test: ImageSet


class StandIn(NamedTuple):
    """Black images in place of a data set's, which take no memory, and the fingerprint to know them by."""

    split: Split
    identity: str


class Dataset(Parameters):
    """A data set of the benchmark; subclasses implement `read`.

    With `validation=true` the test classes are not touched: a quarter of the training classes, always the
    same ones, take their place. For trials of attacks and protocols.

    Attributes:
        headline_eps: for each norm ("linf", "l2") the budget that the leaderboard is ranked at.
        natural: whether the images are RGB photographs, on which backbones start from ImageNet's weights.
        recall_ks: the K of Recall@K that the field reports on it.
        about: where it is to be had; None for what needs no download.
        official: the counts that the field's papers give; None where there are none.
    """

    headline_eps: ClassVar[dict[str, float]] = {}
    natural: ClassVar[bool] = False
    recall_ks: ClassVar[tuple[int, ...]] = (1, 2, 4, 8)
    about: ClassVar[About | None] = None
    official: ClassVar[Counts | None] = None

    validation: bool = False

    def read(self, folders: Folders) -> Split:
        """Reads or makes the data set; may keep files in the cache folder.

        Raises:
            BenchmarkError: when files are missing or damaged, saying which and what to do.
        """
        raise NotImplementedError

    def fingerprint(self, folders: Folders) -> str:
        """What the images depend on besides parameters and source: files, versions of what draws them."""
        return ""

    def load(self, folders: Folders) -> Split:
        """The split that is trained and tested on: the official one, or the validation split."""
        standing_in = self._stand_in(folders)
        split = standing_in.split if standing_in else self.read(folders)
        return Split(*split.train.hold_out(_VALIDATION_SHARE)) if self.validation else split

    def seen_shape(self, folders: Folders) -> tuple[int, int, int]:
        """(C, H, W) of one image as models see it."""
        return self.load(folders).test.image_shape

    def identity(self, folders: Folders) -> str:
        """The fingerprint of what `load` gives."""
        standing_in = self._stand_in(folders)
        return standing_in.identity if standing_in else self.fingerprint(folders)

    def missing(self, folders: Folders) -> str | None:
        """Why the data set cannot be used on this machine, or None when it can; reads no image."""
        return None

    def check_files(self, folders: Folders) -> None:
        """Looks for damage that is cheaply found, before any data set of a command is decoded; may unpack.

        Raises:
            BenchmarkError: when files are missing or damaged, saying which and what to do.
        """
        return

    def download(self, folders: Folders) -> None:
        """Fetches the data set into the data folder, shows progress, and checks what came.

        Raises:
            UsageError: when it cannot be fetched by a program.
            BenchmarkError: when it did not come whole.
        """
        where = f" Get it from {self.about.source} ({self.about.size})." if self.about else ""
        raise UsageError(f"The data set '{self.name}' cannot be downloaded by a program.{where}")

    def blank(self) -> Split | None:
        """Black images in the official numbers, to reckon costs with where the data set is missing.

        They take no memory. None where the data set has no official counts or no size of its own.
        """
        return None

    def stand_in(self, folders: Folders) -> StandIn | None:
        """What to reckon costs with instead of what `read` gives; None where that is to be read.

        Photographs, which take long to read, give their own labels, ids and fingerprint.
        """
        split = self.blank() if self.missing(folders) else None
        return StandIn(split, "blank") if split else None

    def _stand_in(self, folders: Folders) -> StandIn | None:
        return self.stand_in(folders) if folders.blank else None


def _from_folder(name: str) -> type[Dataset] | None:
    from benchmark.data.folder import image_folder

    return image_folder(name)


DATASETS: Registry[Dataset] = Registry("data set", Dataset, fallback=_from_folder)
