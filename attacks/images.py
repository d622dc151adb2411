"""Pools of images, and how many of them go into one forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor


class Images(Protocol):
    """A pool of images that is not in memory as a whole, such as a data set's."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""

    def __len__(self) -> int: ...

    def batch(self, indices: Tensor | slice, device: torch.device | str) -> Tensor:
        """Returns the images at `indices` (on the CPU), as float32 in [0, 1] on the device."""


MAX_IMAGES = 256
"""Images in one forward pass, at most."""

SUITED_PIXELS = 2**18
"""Pixels in one forward pass that suit a core: above, the activations of a layer no longer fit its caches.

On one thread `tf_efficientnet_lite0` passes 1.6 times as many images of 224 pixels a second in batches of 16
as in batches of 47, `mobilenetv2_100` 1.3 and `resnet50` 1.2 times (`tests/speed/batch_speed.py`).
"""

STEP = 16
"""Batches of larger images are a multiple of this, which oneDNN has faster convolutions for."""

MAX_PIXELS = MAX_IMAGES * 96 * 96
"""Pixels in one forward pass, at most, so that its activations do not grow with the image size.

With a graph to the input, mobilenetv2_100 keeps 1,030 bytes per pixel, resnet50 830, bn_inception 580 and
smallconv 40, whatever the image size: 2.4, 2.0, 1.4 and 0.1 GB per forward pass and ensemble member.
"""


def images_per_pass(image_shape: Sequence[int]) -> int:
    """Number of images in one forward pass with a graph; depends on the image shape (C, H, W) only.

    It is the same on every machine: sums in another order differ in the last bits, so that scores would
    otherwise depend on the available memory.
    """
    _, height, width = image_shape
    suited = max(1, SUITED_PIXELS // (height * width) // STEP) * STEP
    return max(1, min(MAX_IMAGES, suited, MAX_PIXELS // (height * width)))
