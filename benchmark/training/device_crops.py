"""Random crops taken on a GPU, of images that lie there."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.core.transfer import to_device
from benchmark.data.packed import PackedImages
from benchmark.training.crops import Box, Crops

_STEP = 32
"""The canvas of a batch is a multiple of this size in pixels, so that its memory can be used again."""


def crop_on_device(images: Tensor | PackedImages, indices: Tensor, crops: Crops) -> Tensor:
    """Takes the crops of a batch on the device of the images.

    The crops are those that `random_crops` takes with the same draws; only rounding differs. torch scales
    uint8 images on a CPU in two steps that each round to whole values, and here they are rounded once, so
    that a value differs by at most 1 (by 2 where both steps round the other way).

    Args:
        images: the images, uint8 or float32.
        indices: which of them to crop, shape (b,), on the CPU.
        crops: how to crop each.

    Returns:
        The crops, shape (b, C, H, W), of the images' type and on their device; nothing is waited for.
    """
    if crops.boxes is not None:
        found = _scaled(images, indices.tolist(), crops.boxes)
    elif isinstance(images, Tensor):
        found = images[to_device(indices, images.device)]
    else:
        found = images[indices]
    if crops.mirrored is None:
        return found
    mirrored = to_device(crops.mirrored, found.device).view(-1, 1, 1, 1)
    return torch.where(mirrored, found.flip(3), found)


def _scaled(images: Tensor | PackedImages, indices: list[int], boxes: list[Box]) -> Tensor:
    """Scales the boxes of some images to the window (bilinear, antialiased): two products for a batch."""
    channels, height, width = images.shape[1:]
    parts = []
    for index, (top, left, box_height, box_width) in zip(indices, boxes, strict=True):
        whole = images.whole(index) if isinstance(images, PackedImages) else images[index]
        parts.append(whole[:, top : top + box_height, left : left + box_width])
    tallest, widest = (-(-max(part.shape[axis] for part in parts) // _STEP) * _STEP for axis in (1, 2))
    canvas = torch.zeros(len(parts), channels, tallest, widest, device=parts[0].device)
    for place, part in zip(canvas, parts, strict=True):
        place[:, : part.shape[1], : part.shape[2]] = part
    lengths = to_device(torch.tensor([box[2:] for box in boxes], dtype=torch.float32), canvas.device)
    rows = _weights(lengths[:, 0], height, tallest).unsqueeze(1)
    columns = _weights(lengths[:, 1], width, widest).unsqueeze(1)
    scaled = rows @ canvas @ columns.transpose(2, 3)
    return scaled.round_().clamp_(0, 255).to(torch.uint8) if images.dtype == torch.uint8 else scaled


def _weights(lengths: Tensor, size: int, longest: int) -> Tensor:
    """The weights of linear antialiased scaling, as torch computes them.

    Args:
        lengths: number of pixels of each image along an axis, float32, shape (b,).
        size: number of pixels to scale them to.
        longest: length of the canvas.

    Returns:
        The weight of each pixel in each scaled pixel, shape (b, size, longest); rows have the sum 1.
    """
    scales = (lengths / size).view(-1, 1, 1)
    centers = scales * (torch.arange(size, device=lengths.device) + 0.5).view(1, -1, 1)
    pixels = torch.arange(longest, device=lengths.device).view(1, 1, -1)
    weights = (1 - ((pixels + 0.5 - centers) / scales.clamp_min(1)).abs()).clamp_min(0)
    weights = weights * (pixels < lengths.view(-1, 1, 1))
    return weights / weights.sum(2, keepdim=True)
