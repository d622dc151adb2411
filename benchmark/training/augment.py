"""Augmentation of a batch by random shifts."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


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
    padded = F.pad(images, [pixels] * 4)
    offsets = torch.randint(0, 2 * pixels + 1, (2, count)).to(images.device)
    rows = offsets[0].view(-1, 1) + torch.arange(height, device=images.device)
    columns = offsets[1].view(-1, 1) + torch.arange(width, device=images.device)
    image = torch.arange(count, device=images.device).view(-1, 1, 1)
    return padded.permute(0, 2, 3, 1)[image, rows.unsqueeze(2), columns.unsqueeze(1)].permute(0, 3, 1, 2)
