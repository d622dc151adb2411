"""Black images that replace those of a data set when only costs are estimated."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.data.base import Counts, ImageSet, Split


def blank_images(count: int, image_shape: tuple[int, int, int]) -> Tensor:
    """Return black images, uint8, shape (count, C, H, W), which share the memory of one pixel."""
    return torch.zeros(1, dtype=torch.uint8).view(1, 1, 1, 1).expand(count, *image_shape)


def blank_split(counts: Counts, image_shape: tuple[int, int, int]) -> Split:
    """Return black images of shape (C, H, W) in given numbers, with classes as even as possible."""

    def blank_set(classes: int, images: int) -> ImageSet:
        labels = torch.arange(images) * classes // images
        return ImageSet(blank_images(images, image_shape), labels, torch.arange(images))

    return Split(
        train=blank_set(counts.train_classes, counts.train_images),
        test=blank_set(counts.test_classes, counts.test_images),
    )
