"""Random pixel dropout, and the smoothest image that explains the pixels that are left."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from defenses.transforms.base import TRANSFORMS, Transform

SMOOTHING = 0.01
"""What keeps the total variation differentiable where an image is flat, in units of a pixel's range."""


def smoothed_tv(images: Tensor) -> Tensor:
    """Each channel's total variation, sum over pixels of sqrt(dx^2 + dy^2 + SMOOTHING^2), shape (n, C).

    Args:
        images: shape (n, C, H, W); differences to the right and down, none across the border.
    """
    across, down = _differences(images)
    return (across**2 + down**2 + SMOOTHING**2).sqrt().sum((2, 3))


def minimise_tv(images: Tensor, kept: Tensor, weight: float, steps: int) -> Tensor:
    """Lowers 1/2 sum kept (z - images)^2 + weight TV(z) over z, TV as `smoothed_tv` has it.

    Each step minimises a quadratic bound of the objective (lagged diffusivity) by one sweep of Jacobi's
    method, which is the digital TV filter (Chan, Osher and Shen 2001, IEEE Trans. Image Processing 10(2)): a
    pixel becomes a weighted mean of its given value and its neighbours. So the objective never rises, values
    stay within the range of the given ones, and each step is differentiable.

    Args:
        images: shape (n, C, H, W).
        kept: 1 where a value is given and 0 where it was dropped, the same shape.
        weight: weight of the total variation.
        steps: number of sweeps.

    Returns:
        z, the same shape.
    """
    given = kept * images
    found = torch.where(kept > 0, images, _surroundings(given, kept))
    for _ in range(steps):
        across, down = _differences(found)
        edge = weight / (across**2 + down**2 + SMOOTHING**2).sqrt()
        # Weights of the edges to the right, left, below and above; none leaves the image.
        right, below = edge[..., :-1], edge[..., :-1, :]
        total = kept + F.pad(right, (0, 1)) + F.pad(right, (1, 0))
        total = total + F.pad(below, (0, 0, 0, 1)) + F.pad(below, (0, 0, 1, 0))
        pulled = given + F.pad(right * found[..., 1:], (0, 1)) + F.pad(right * found[..., :-1], (1, 0))
        pulled = pulled + F.pad(below * found[..., 1:, :], (0, 0, 0, 1))
        pulled = pulled + F.pad(below * found[..., :-1, :], (0, 0, 1, 0))
        found = pulled / total
    return found


def _differences(images: Tensor) -> tuple[Tensor, Tensor]:
    across = F.pad(images[..., 1:] - images[..., :-1], (0, 1))
    down = F.pad(images[..., 1:, :] - images[..., :-1, :], (0, 0, 0, 1))
    return across, down


def _surroundings(given: Tensor, kept: Tensor) -> Tensor:
    """The mean of the kept pixels within two pixels; the channel's mean where there is none."""
    overall = given.sum((2, 3), keepdim=True) / kept.sum((2, 3), keepdim=True).clamp(min=1)
    near, count = (F.avg_pool2d(values, 5, stride=1, padding=2) for values in (given, kept))
    return (near + 1e-4 * overall) / (count + 1e-4)


@TRANSFORMS.register("total_variation")
class TotalVariation(Transform):
    """Pixel dropout and total variation minimisation (Guo et al. 2018, arXiv 1711.00117, section 4).

    Each value is dropped with a probability, and the image is put together again from the others by
    minimising 1/2 |kept (z - x)|^2 + weight TV(z). The original leaves the distance unsquared, takes the TV
    over whole rows and columns, and solves with split Bregman iterations until they converge. Here the TV is
    the usual one of each pixel, and a fixed number of steps in batch takes the place of the solver. Attacks
    differentiate through the steps, where Athalye et al. 2018 took the identity's gradient through a solver
    that was none of the network's. Which of the two is the stronger is not settled here.

    Attributes:
        dropout: probability that a value is dropped; the original's is 0.5.
        weight: weight of the total variation; the original's is 0.03, of its own objective.
        steps: number of steps of the solver.
    """

    randomised: ClassVar[bool] = True

    dropout: float = Field(default=0.5, gt=0, lt=1)
    weight: PositiveFloat = 0.03
    steps: PositiveInt = 15

    def apply(self, images: Tensor) -> Tensor:
        """Drops values of images, shape (n, C, H, W) in [0, 1], and fills them in."""
        kept = (torch.rand(images.shape) >= self.dropout).to(images)
        return minimise_tv(images, kept, self.weight, self.steps)
