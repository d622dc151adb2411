"""Random crops of whole images, and mirroring."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import resized_crop

from benchmark.data.packed import PackedImages

_SHAPES = (math.log(3 / 4), math.log(4 / 3))
_TRIES = 10


Box = tuple[int, int, int, int]
"""Top, left, height, width, in pixels."""


def random_box(height: int, width: int, least: float, generator: torch.Generator) -> Box:
    """A random part of an image, as the field's random resized crop draws it (Szegedy et al. 2015).

    Its share of the area is uniform in [least, 1], the logarithm of its width over its height uniform between
    3/4 and 4/3. Ten are drawn until one fits; after that it is the largest central one of an allowed shape.

    Args:
        height: of the image, in pixels.
        width: the same.
        least: smallest share of the area, in (0, 1].
        generator: what is random comes from it alone.
    """
    for share, shape, down, right in torch.rand(_TRIES, 4, generator=generator).tolist():
        area = height * width * (least + (1 - least) * share)
        ratio = math.exp(_SHAPES[0] + (_SHAPES[1] - _SHAPES[0]) * shape)
        high, wide = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
        if 0 < high <= height and 0 < wide <= width:
            return int(down * (height - high + 1)), int(right * (width - wide + 1)), high, wide
    high = min(height, round(width * 4 / 3))
    wide = min(width, round(height * 4 / 3))
    return (height - high) // 2, (width - wide) // 2, high, wide


def random_crops(
    images: Tensor | PackedImages, rows: Tensor, least: float | None, flip: bool, generator: torch.Generator
) -> Tensor:
    """A random crop of each image, scaled to the window (bilinear, antialiased), perhaps mirrored.

    Args:
        images: the images, uint8 or float32.
        rows: which of them, shape (b,).
        least: smallest share of the area; None to take the window as it is.
        flip: whether each is mirrored left to right with probability 1/2.
        generator: what is random comes from it alone.

    Returns:
        Shape (b, C, H, W), of the images' type.
    """
    side = list(images.shape[2:])
    if least is None:
        views = images[rows]
    else:
        views = torch.empty((len(rows), *images.shape[1:]), dtype=images.dtype)
        for place, row in enumerate(rows.tolist()):
            whole = images.whole(row) if isinstance(images, PackedImages) else images[row]
            box = random_box(whole.shape[1], whole.shape[2], least, generator)
            views[place] = resized_crop(whole, *box, side, InterpolationMode.BILINEAR, antialias=True)
    if flip:
        mirrored = torch.rand(len(rows), generator=generator) < 0.5
        views[mirrored] = views[mirrored].flip(3)
    return views
