"""JPEG compression."""

from __future__ import annotations

import io
from typing import ClassVar

import numpy as np
import torch
from PIL import Image
from pydantic import Field
from torch import Tensor

from defenses.transforms.base import TRANSFORMS, Transform


@TRANSFORMS.register("jpeg")
class JPEG(Transform):
    """JPEG compression (Guo et al. 2018, arXiv 1711.00117, section 4), deterministic.

    The codec is Pillow's libjpeg on the CPU: pixels are rounded to 8 bits, color is subsampled by libjpeg's
    default, and an image that does not have three channels is encoded as one gray image per channel. The
    gradient is zero almost everywhere, so attacks take the identity's.

    Attributes:
        quality: libjpeg's quality, 1 to 100; the original's is 75.
    """

    differentiable: ClassVar[bool] = False

    quality: int = Field(default=75, ge=1, le=100)

    def apply(self, images: Tensor) -> Tensor:
        """Encodes and decodes each image, shape (n, C, H, W) in [0, 1]."""
        planes = images.movedim(1, -1) if images.shape[1] == 3 else images.flatten(0, 1)
        pixels = (planes.detach() * 255).round().clamp(0, 255).to("cpu", torch.uint8).numpy()
        decoded = torch.from_numpy(np.stack([self._recode(plane) for plane in pixels])).to(images) / 255
        return decoded.movedim(-1, 1) if images.shape[1] == 3 else decoded.view(images.shape)

    def _recode(self, pixels: np.ndarray) -> np.ndarray:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=self.quality)
        return np.asarray(Image.open(file))
