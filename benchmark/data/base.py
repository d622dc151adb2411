"""What a data set is: two sets of images whose classes do not overlap."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from benchmark.core.errors import UsageError
from benchmark.core.parameters import Parameters
from benchmark.core.registry import Registry
from benchmark.core.seeding import derive_seed

_VALIDATION_SHARE = 0.25


@dataclass(frozen=True)
class ImageSet:
    """Images with labels and ids.

    Attributes:
        images: uint8 in [0, 255], or float32 in [0, 1], shape (n, C, H, W).
        labels: class of each image, int64, shape (n,), contiguous from 0.
        ids: an id of each image that is unique in the data set, int64, shape (n,).
    """

    images: Tensor
    labels: Tensor
    ids: Tensor

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
        return ImageSet(self.images[kept], labels, self.ids[kept])

    def hold_out(self, share: float) -> tuple[ImageSet, ImageSet]:
        """Divides the images by classes: a share of the classes, at least two, is held out.

        Which ones is random, but always the same: a seed of training never changes the data.

        Args:
            share: share of the classes, in (0, 1).

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
        return self.of_classes(torch.tensor(order[count:])), self.of_classes(torch.tensor(order[:count]))


@dataclass(frozen=True)
class Split:
    """Training images, and test images of other classes."""

    train: ImageSet
    test: ImageSet


class Dataset(Parameters):
    """A data set of the benchmark; subclasses implement `read`.

    With `validation=true` the test classes are not touched: a quarter of the training classes, always the
    same ones, take their place. For trials of attacks and protocols.

    Attributes:
        headline_eps: for each norm ("linf", "l2") the budget that the leaderboard is ranked at.
    """

    headline_eps: ClassVar[dict[str, float]] = {}

    validation: bool = False

    def read(self, cache: Path) -> Split:
        """Reads or makes the data set; may keep files under `cache`.

        Raises:
            BenchmarkError: when files are missing or damaged, saying which and what to do.
        """
        raise NotImplementedError

    def fingerprint(self) -> str:
        """What the images depend on besides parameters and source: files, versions of what draws them."""
        return ""

    def load(self, cache: Path) -> Split:
        """The split that is trained and tested on: the official one, or the validation split."""
        split = self.read(cache)
        if not self.validation:
            return split
        return Split(*split.train.hold_out(_VALIDATION_SHARE))

    def missing(self) -> str | None:
        """Why the data set cannot be used on this machine, or None when it can."""
        return None


def _from_folder(name: str) -> type[Dataset] | None:
    from benchmark.data.folder import image_folder

    return image_folder(name)


DATASETS: Registry[Dataset] = Registry("data set", Dataset, fallback=_from_folder)
