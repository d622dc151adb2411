"""Bit-depth reduction."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from defenses.transforms.base import TRANSFORMS, Transform


@TRANSFORMS.register("bit_depth")
class BitDepth(Transform):
    """Bit-depth reduction (Xu et al. 2018, arXiv 1704.01155, section III; Guo et al. 2018), deterministic.

    Each value becomes the nearest of 2^bits levels from 0 to 1. The gradient is zero almost everywhere, so
    attacks take the identity's.

    Attributes:
        bits: bits per value; Guo et al. use 3.
    """

    differentiable: ClassVar[bool] = False

    bits: int = Field(default=3, ge=1, le=8)

    def apply(self, images: Tensor) -> Tensor:
        """Rounds images, shape (n, C, H, W) in [0, 1], to the nearest level."""
        steps = 2**self.bits - 1
        return (images * steps).round() / steps
