"""Black images in place of a data set's, to reckon costs with."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.data.base import Counts, ImageSet, Split


def blank_images(count: int, image_shape: tuple[int, int, int]) -> Tensor:
    """Black images of shape (C, H, W), uint8, which take no memory whatever their number."""
    return torch.zeros(1, dtype=torch.uint8).view(1, 1, 1, 1).expand(count, *image_shape)


def blank_split(counts: Counts, image_shape: tuple[int, int, int]) -> Split:
    """Black images of shape (C, H, W) in given numbers, classes as even as can be; see `Dataset.blank`."""

    def blank_set(classes: int, images: int) -> ImageSet:
        labels = torch.arange(images) * classes // images
        return ImageSet(blank_images(images, image_shape), labels, torch.arange(images))

    return Split(
        train=blank_set(counts.train_classes, counts.train_images),
        test=blank_set(counts.test_classes, counts.test_images),
    )
