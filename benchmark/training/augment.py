"""Augmentation of a batch by random shifts."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.core.transfer import to_device


def random_shift(images: Tensor, pixels: int) -> Tensor:
    """Shifts each image by its own random whole number of pixels in both directions, filling with black.

    Offsets are drawn from torch's global CPU generator; none are drawn when `pixels` is 0.

    Args:
        images: shape (n, C, H, W).
        pixels: largest shift in each direction.

    Returns:
        The shifted images, of the same shape and type; `images` itself when `pixels` is 0.
    """
    if pixels == 0:
        return images
    count, _, height, width = images.shape
    rows, columns = to_device(torch.randint(0, 2 * pixels + 1, (2, count)), images.device)
    image = torch.arange(count, device=images.device)
    windows = F.pad(images, [pixels] * 4).unfold(2, height, 1).unfold(3, width, 1)
    return windows[image, :, rows, columns].contiguous(memory_format=torch.channels_last)
