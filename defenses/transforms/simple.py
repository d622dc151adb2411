"""Simple random transforms that a barrage draws from."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveFloat
from torch import Tensor

from defenses.transforms.base import TRANSFORMS, Transform, uniform


@TRANSFORMS.register("noise")
class GaussianNoise(Transform):
    """Gaussian noise with a random standard deviation for each image.

    Attributes:
        largest: the largest standard deviation, in units of the pixel range.
    """

    randomised: ClassVar[bool] = True

    largest: PositiveFloat = 0.05

    def apply(self, images: Tensor) -> Tensor:
        """Adds noise to images, shape (n, C, H, W), and clips them to [0, 1]."""
        noise = torch.randn(images.shape).to(images)
        return (images + uniform(images, 0, self.largest) * noise).clamp(0, 1)


@TRANSFORMS.register("blur")
class GaussianBlur(Transform):
    """Gaussian blur with a random width for each image, over 5 x 5 pixels, with replicated borders.

    Attributes:
        largest: the largest standard deviation, in pixels; the smallest is 0.25.
    """

    randomised: ClassVar[bool] = True

    largest: float = Field(default=1.0, ge=0.25)

    def apply(self, images: Tensor) -> Tensor:
        """Blurs images, shape (n, C, H, W), each with its own kernel."""
        offset = torch.arange(-2, 3).to(images)
        width = uniform(images, 0.25, self.largest)
        kernel = torch.softmax(-0.5 * (offset / width) ** 2, dim=-1)  # (n, 1, 1, 5)
        padded = F.pad(images, (2, 2, 2, 2), mode="replicate")
        rows = (padded.unfold(3, 5, 1) * kernel.unsqueeze(3)).sum(-1)
        return (rows.unfold(2, 5, 1) * kernel.unsqueeze(3)).sum(-1)


@TRANSFORMS.register("gamma")
class Gamma(Transform):
    """Gamma correction with a random exponent for each image.

    Attributes:
        largest: the largest exponent; the smallest is its inverse. The logarithm is drawn uniformly.
    """

    randomised: ClassVar[bool] = True

    largest: float = Field(default=1.5, ge=1)

    def apply(self, images: Tensor) -> Tensor:
        """Raises images, shape (n, C, H, W) in [0, 1], to a random power."""
        bound = torch.tensor(self.largest).log().item()
        exponent = uniform(images, -bound, bound).exp()
        # The slope of an exponent below one is unbounded at black, so the curve is linear below a threshold.
        threshold = 0.01
        above = images.clamp(min=threshold) ** exponent
        return torch.where(images < threshold, images * threshold ** (exponent - 1), above)


@TRANSFORMS.register("contrast")
class Contrast(Transform):
    """Contrast reduction: scales the distance of each value from the image's mean by a random factor.

    Attributes:
        smallest: the smallest factor; the largest is 1, which changes nothing.
    """

    randomised: ClassVar[bool] = True

    smallest: float = Field(default=0.6, gt=0, le=1)

    def apply(self, images: Tensor) -> Tensor:
        """Pulls images, shape (n, C, H, W) in [0, 1], toward their means."""
        mean = images.mean((1, 2, 3), keepdim=True)
        return mean + uniform(images, self.smallest, 1) * (images - mean)


@TRANSFORMS.register("translate")
class Translate(Transform):
    """A random shift of each image, by bilinear interpolation; vacated pixels are black.

    Attributes:
        largest: the largest shift in each direction, as a fraction of the side.
    """

    randomised: ClassVar[bool] = True

    largest: float = Field(default=0.08, gt=0, le=0.5)

    def apply(self, images: Tensor) -> Tensor:
        """Shifts each image, shape (n, C, H, W), in both directions."""
        matrix = torch.eye(2, 3).repeat(len(images), 1, 1)
        matrix[:, :, 2] = 2 * self.largest * (2 * torch.rand(len(images), 2) - 1)  # a side has length 2
        grid = F.affine_grid(matrix.to(images), list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, padding_mode="zeros", align_corners=False)
