"""Augmentation of a batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def random_shift(images: Tensor, pixels: int) -> Tensor:
    """Moves each image by its own random number of whole pixels, in both directions; black comes in.

    Args:
        images: shape (n, C, H, W).
        pixels: largest move in each direction.
    """
    if pixels == 0:
        return images
    count, _, height, width = images.shape
    padded = F.pad(images, [pixels] * 4)
    moves = torch.randint(0, 2 * pixels + 1, (2, count)).to(images.device)
    rows = moves[0].view(-1, 1) + torch.arange(height, device=images.device)
    columns = moves[1].view(-1, 1) + torch.arange(width, device=images.device)
    which = torch.arange(count, device=images.device).view(-1, 1, 1)
    return padded.permute(0, 2, 3, 1)[which, rows.unsqueeze(2), columns.unsqueeze(1)].permute(0, 3, 1, 2)
