"""Random resized crops and mirroring."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from benchmark.data.packed import PackedImages

_LOG_ASPECT_RATIOS = (math.log(3 / 4), math.log(4 / 3))
_ATTEMPTS = 10


Box = tuple[int, int, int, int]
"""Top, left, height, width, in pixels."""


def random_box(height: int, width: int, min_area: float, generator: torch.Generator) -> Box:
    """Draws the box of a random resized crop (Szegedy et al. 2015).

    Its fraction of the image's area is uniform in [min_area, 1], the logarithm of its aspect ratio (width
    over height) uniform between log 3/4 and log 4/3. Ten boxes are drawn and the first that fits is taken; if
    none fits, the largest central box with an allowed aspect ratio.

    Args:
        height: height of the image, in pixels.
        width: width of the image, in pixels.
        min_area: smallest fraction of the area, in (0, 1].
        generator: the only source of randomness.

    Returns:
        A box within the image.
    """
    draws = torch.rand(_ATTEMPTS, 4, generator=generator).tolist()
    for area_draw, aspect_draw, top_draw, left_draw in draws:
        area = height * width * (min_area + (1 - min_area) * area_draw)
        lowest, highest = _LOG_ASPECT_RATIOS
        aspect = math.exp(lowest + (highest - lowest) * aspect_draw)
        box_height, box_width = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if 0 < box_height <= height and 0 < box_width <= width:
            top = int(top_draw * (height - box_height + 1))
            left = int(left_draw * (width - box_width + 1))
            return top, left, box_height, box_width
    box_height = min(height, round(width * 4 / 3))
    box_width = min(width, round(height * 4 / 3))
    return (height - box_height) // 2, (width - box_width) // 2, box_height, box_width


class Crops(NamedTuple):
    """The random crops of a batch.

    Attributes:
        boxes: the box of each image; None for the window uncropped.
        mirrored: whether each crop is mirrored left to right, bool, shape (b,), on the CPU; None for none.
    """

    boxes: list[Box] | None
    mirrored: Tensor | None


def draw_crops(
    images: Tensor | PackedImages,
    indices: Tensor,
    min_area: float | None,
    flip: bool,
    generator: torch.Generator,
) -> Crops:
    """Draws the crops that `random_crops` takes, with the same arguments."""
    boxes = None
    if min_area is not None:
        whole = isinstance(images, PackedImages)
        sizes = [images.size(row) if whole else tuple(images.shape[2:]) for row in indices.tolist()]
        boxes = [random_box(height, width, min_area, generator) for height, width in sizes]
    return Crops(boxes, torch.rand(len(indices), generator=generator) < 0.5 if flip else None)


def random_crops(
    images: Tensor | PackedImages,
    indices: Tensor,
    min_area: float | None,
    flip: bool,
    generator: torch.Generator,
) -> Tensor:
    """Takes a random crop of each image, scaled to the window (bilinear, antialiased), and may mirror it.

    Args:
        images: the images, uint8 or float32.
        indices: which of them to crop, shape (b,).
        min_area: smallest fraction of the area that a crop has, in (0, 1]; None takes the window uncropped.
        flip: whether each crop is mirrored left to right with probability 1/2.
        generator: the only source of randomness.

    Returns:
        The crops, shape (b, C, H, W), of the images' type.
    """
    drawn = draw_crops(images, indices, min_area, flip, generator)
    if drawn.boxes is None:
        crops = images[indices]
    else:
        from torchvision.transforms.v2 import InterpolationMode  # takes a second, and small images need none
        from torchvision.transforms.v2.functional import resized_crop

        window = list(images.shape[2:])
        crops = torch.empty((len(indices), *images.shape[1:]), dtype=images.dtype)
        for position, (index, box) in enumerate(zip(indices.tolist(), drawn.boxes, strict=True)):
            whole = images.whole(index) if isinstance(images, PackedImages) else images[index]
            crops[position] = resized_crop(whole, *box, window, InterpolationMode.BILINEAR, antialias=True)
    if drawn.mirrored is not None:
        crops[drawn.mirrored] = crops[drawn.mirrored].flip(3)
    return crops
