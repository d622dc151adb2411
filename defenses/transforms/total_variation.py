"""Random pixel dropout and reconstruction by total variation minimization."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from defenses.transforms.base import TRANSFORMS, Transform

SMOOTHING = 0.01
"""Keeps the total variation differentiable where an image is constant, in units of the pixel range."""


def smoothed_tv(images: Tensor) -> Tensor:
    """Computes each channel's total variation, the sum of sqrt(dx^2 + dy^2 + SMOOTHING^2) over pixels.

    Differences are taken to the right and down, none across the border.

    Args:
        images: shape (n, C, H, W).

    Returns:
        Shape (n, C).
    """
    across, down = _differences(images)
    return (across**2 + down**2 + SMOOTHING**2).sqrt().sum((2, 3))


def minimize_tv(images: Tensor, kept: Tensor, weight: float, steps: int) -> Tensor:
    """Decreases 1/2 sum kept (z - images)^2 + weight TV(z) over z, with the TV of `smoothed_tv`.

    Each step minimizes a quadratic bound of the objective (lagged diffusivity) by one sweep of Jacobi's
    method, which is the digital TV filter (Chan, Osher and Shen 2001, IEEE Trans. Image Processing 10(2)): a
    pixel becomes a weighted mean of its given value and its neighbors. So the objective never increases,
    values stay within the range of the given ones, and each step is differentiable.

    Args:
        images: shape (n, C, H, W).
        kept: 1 where a value is given and 0 where it was dropped, the same shape.
        weight: weight of the total variation.
        steps: number of sweeps.

    Returns:
        z, the same shape.
    """
    given = kept * images
    estimate = torch.where(kept > 0, images, _local_mean(given, kept))
    for _ in range(steps):
        across, down = _differences(estimate)
        edge = weight / (across**2 + down**2 + SMOOTHING**2).sqrt()
        # Weights of the edges to the right, left, below and above; none crosses the border.
        right, below = edge[..., :-1], edge[..., :-1, :]
        total = kept + F.pad(right, (0, 1)) + F.pad(right, (1, 0))
        total = total + F.pad(below, (0, 0, 0, 1)) + F.pad(below, (0, 0, 1, 0))
        weighted = (
            given + F.pad(right * estimate[..., 1:], (0, 1)) + F.pad(right * estimate[..., :-1], (1, 0))
        )
        weighted = weighted + F.pad(below * estimate[..., 1:, :], (0, 0, 0, 1))
        weighted = weighted + F.pad(below * estimate[..., :-1, :], (0, 0, 1, 0))
        estimate = weighted / total
    return estimate


def _differences(images: Tensor) -> tuple[Tensor, Tensor]:
    across = F.pad(images[..., 1:] - images[..., :-1], (0, 1))
    down = F.pad(images[..., 1:, :] - images[..., :-1, :], (0, 0, 0, 1))
    return across, down


def _local_mean(given: Tensor, kept: Tensor) -> Tensor:
    """The mean of the kept pixels within two pixels; the channel's mean where there is none."""
    overall = given.sum((2, 3), keepdim=True) / kept.sum((2, 3), keepdim=True).clamp(min=1)
    near, count = (F.avg_pool2d(values, 5, stride=1, padding=2) for values in (given, kept))
    return (near + 1e-4 * overall) / (count + 1e-4)


@TRANSFORMS.register("total_variation")
class TotalVariation(Transform):
    """Pixel dropout and total variation minimization (Guo et al. 2018, arXiv 1711.00117, section 4).

    Each value is dropped with a probability, and the image is reconstructed from the others by minimizing
    1/2 |kept (z - x)|^2 + weight TV(z). The original leaves the distance unsquared, takes the TV over whole
    rows and columns, and solves with split Bregman iterations until convergence. Here the TV is the usual one
    of each pixel, and a fixed number of batched steps replaces the solver. Attacks differentiate through the
    steps, where Athalye et al. 2018 took the identity's gradient through a solver outside of the network.
    Which of the two is the stronger attack is not settled here.

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
        """Drops random values of images, shape (n, C, H, W) in [0, 1], and reconstructs them."""
        kept = (torch.rand(images.shape) >= self.dropout).to(images)
        return minimize_tv(images, kept, self.weight, self.steps)
