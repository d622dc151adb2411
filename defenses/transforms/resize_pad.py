"""Random resizing and padding."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from benchmark.core.transfer import to_device
from defenses.transforms.base import TRANSFORMS, Transform


def resize_and_pad(images: Tensor, scales: Tensor, positions: Tensor) -> Tensor:
    """Shrinks each image and pastes it onto a black canvas of the original size.

    Args:
        images: shape (n, C, H, W).
        scales: new size divided by old size, in (0, 1], shape (n,).
        positions: position of the shrunk image on the canvas, from 0 at the left or top edge to 1 at the
            right or bottom edge, shape (n, 2) as (x, y).

    Returns:
        Images of the same shape, differentiable in `images`.
    """
    free = (1 - scales).unsqueeze(1)
    center = (2 * positions - 1) * free  # of the shrunk image, in coordinates from -1 to 1
    matrix = torch.zeros(len(images), 2, 3, device=images.device, dtype=images.dtype)
    matrix[:, 0, 0] = matrix[:, 1, 1] = 1 / scales
    matrix[:, :, 2] = -center / scales.unsqueeze(1)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="zeros", align_corners=False)


@TRANSFORMS.register("resize_pad")
class ResizePad(Transform):
    """Random resizing and padding (Xie et al. 2018, arXiv 1711.01991).

    The original enlarges images of 299 pixels to between 299 and 330 and pads them to 331. Here the canvas
    keeps the data set's image size, since not every backbone takes another, and the image shrinks by that
    ratio.

    Attributes:
        smallest: the smallest scale; the original's is 299 / 331.
    """

    randomised: ClassVar[bool] = True

    smallest: float = Field(default=0.9, gt=0, le=1)

    def apply(self, images: Tensor) -> Tensor:
        """Gives each image, shape (n, C, H, W) in [0, 1], its own random size and position."""
        scales = 1 - (1 - self.smallest) * to_device(torch.rand(len(images)), images.device)
        positions = to_device(torch.rand(len(images), 2), images.device)
        return resize_and_pad(images, scales, positions)
