"""Images with labels and ids, and their split into training and test images."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from benchmark.core.errors import UsageError
from benchmark.core.seeding import derive_seed
from benchmark.data.packed import PackedImages, joined, select


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
        return int(self.labels.max()) + 1 if len(self) else 0

    def batch(self, indices: Tensor | slice, device: torch.device | str = "cpu") -> Tensor:
        """Return a copy of the images at the indices, float32 in [0, 1], (b, C, H, W), on the device."""
        images = self.images[indices]
        if images.dtype == torch.uint8:
            return images.to(device).float().div(255)
        return images.to(device, torch.float32, copy=isinstance(indices, slice))  # which gives a view

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

    def with_whole_pool(self) -> Split:
        """Add the training images to the test images, their labels behind those of the test classes.

        Where only the test images are divided into queries and gallery, that is the official protocol, and
        they stay as they are. Ids are kept, and no memory-mapped image is read.
        """
        train, test = self.train, self.test
        if (train.queries is None) != (test.queries is None):
            return self
        both = None if train.queries is None else torch.cat([cast("Tensor", test.queries), train.queries])
        pool = ImageSet(
            joined(test.images, train.images),
            torch.cat([test.labels, train.labels + test.num_classes]),
            torch.cat([test.ids, train.ids]),
            both,
        )
        return Split(train, pool)
