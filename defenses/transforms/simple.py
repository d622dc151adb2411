"""Simple random transforms, one of each kind, that a barrage draws from."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveFloat
from torch import Tensor

from defenses.transforms.base import TRANSFORMS, Transform, uniform


@TRANSFORMS.register("noise")
class GaussianNoise(Transform):
    """Gaussian noise of a random strength.

    Attributes:
        largest: the largest standard deviation, in units of a pixel's range.
    """

    randomised: ClassVar[bool] = True

    largest: PositiveFloat = 0.05

    def apply(self, images: Tensor) -> Tensor:
        """Adds noise to images, shape (n, C, H, W), and cuts them to [0, 1]."""
        noise = torch.randn(images.shape).to(images)
        return (images + uniform(images, 0, self.largest) * noise).clamp(0, 1)


@TRANSFORMS.register("blur")
class GaussianBlur(Transform):
    """Gaussian blur of a random width, over 5 by 5 pixels; the image's edge is repeated beyond it.

    Attributes:
        largest: the largest standard deviation, in pixels; the smallest is a quarter.
    """

    randomised: ClassVar[bool] = True

    largest: float = Field(default=1.0, ge=0.25)

    def apply(self, images: Tensor) -> Tensor:
        """Blurs images, shape (n, C, H, W), each with a kernel of its own."""
        place = torch.arange(-2, 3).to(images)
        width = uniform(images, 0.25, self.largest)
        kernel = torch.softmax(-0.5 * (place / width) ** 2, dim=-1)  # (n, 1, 1, 5)
        padded = F.pad(images, (2, 2, 2, 2), mode="replicate")
        rows = (padded.unfold(3, 5, 1) * kernel.unsqueeze(3)).sum(-1)
        return (rows.unfold(2, 5, 1) * kernel.unsqueeze(3)).sum(-1)


@TRANSFORMS.register("gamma")
class Gamma(Transform):
    """A random power of each value.

    Attributes:
        largest: the largest exponent; the smallest is its inverse, and its logarithm is drawn evenly.
    """

    randomised: ClassVar[bool] = True

    largest: float = Field(default=1.5, ge=1)

    def apply(self, images: Tensor) -> Tensor:
        """Raises images, shape (n, C, H, W) in [0, 1], to a power."""
        bound = torch.tensor(self.largest).log().item()
        exponent = uniform(images, -bound, bound).exp()
        # Below one, the power's slope has no bound at black. A chord through (0, 0) takes its place there.
        foot = 0.01
        above = images.clamp(min=foot) ** exponent
        return torch.where(images < foot, images * foot ** (exponent - 1), above)


@TRANSFORMS.register("contrast")
class Contrast(Transform):
    """A random share of the distance of each value from the image's mean.

    Attributes:
        smallest: the smallest share; the largest is 1, which changes nothing.
    """

    randomised: ClassVar[bool] = True

    smallest: float = Field(default=0.6, gt=0, le=1)

    def apply(self, images: Tensor) -> Tensor:
        """Pulls images, shape (n, C, H, W), towards their means."""
        mean = images.mean((1, 2, 3), keepdim=True)
        return mean + uniform(images, self.smallest, 1) * (images - mean)


@TRANSFORMS.register("translate")
class Translate(Transform):
    """A random shift, by bilinear interpolation; what comes in is black.

    Attributes:
        largest: the largest shift in each direction, as a share of the side.
    """

    randomised: ClassVar[bool] = True

    largest: float = Field(default=0.08, gt=0, le=0.5)

    def apply(self, images: Tensor) -> Tensor:
        """Shifts each image, shape (n, C, H, W), across and down."""
        matrix = torch.eye(2, 3).repeat(len(images), 1, 1)
        matrix[:, :, 2] = 2 * self.largest * (2 * torch.rand(len(images), 2) - 1)  # a side is 2 long
        grid = F.affine_grid(matrix.to(images), list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, padding_mode="zeros", align_corners=False)
