"""Balls in L_inf, L2 and L0: random points, projections and steepest steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from benchmark.core.errors import AttackError, UsageError
from benchmark.core.seeding import noise_per_image

CONVEX = ("linf", "l2")
"""The norms whose balls are convex, in which a small step along a gradient leads to a better point."""

NORMS = (*CONVEX, "l0")
"""All norms; the L0 "norm" of a perturbation is the number of pixels that it changes, in any channel."""

MAX_L2 = 1e4
"""The largest budget in L2: two images of three channels and 4,096 by 4,096 pixels are not so far apart."""


def per_image(values: Tensor, like: Tensor) -> Tensor:
    """Reshapes one value per image so that it broadcasts over images.

    Args:
        values: shape (n,).
        like: images, or anything else with one row per image, shape (n, ...).

    Returns:
        Shape (n, 1, ..., 1), with as many dimensions as `like`.
    """
    return values.view(-1, *[1] * (like.dim() - 1))


def where_per_image(condition: Tensor, images: Tensor, others: Tensor) -> Tensor:
    """Selects whole images: `images` where the condition, shape (n,), holds, and `others` elsewhere."""
    return torch.where(per_image(condition, images), images, others)


def _l2(tensor: Tensor) -> Tensor:
    """L2 norm of each image, shaped to broadcast."""
    return torch.linalg.vector_norm(tensor, dim=tuple(range(1, tensor.dim())), keepdim=True)


def check_norm(norm: str) -> None:
    """Raises UsageError unless the norm is one of NORMS."""
    if norm not in NORMS:
        raise UsageError(f"Unknown norm '{norm}'. Valid: {', '.join(NORMS)}.")


def is_budget(norm: str, eps: float) -> bool:
    """Whether a number can be an attack's budget in one of NORMS."""
    if norm == "l0":
        return eps >= 1 and float(eps).is_integer()
    return 0 < eps <= (1 if norm == "linf" else MAX_L2)


def check_pixels(norm: str, eps: float) -> None:
    """Raises UsageError for a budget in L0 that is not a number of pixels: a whole number from 0 on."""
    if norm == "l0" and not (eps >= 0 and float(eps).is_integer()):
        raise UsageError(f"eps is {eps:g} in the norm l0: it counts changed pixels, so give a whole number.")


def sizes(delta: Tensor, norm: str) -> Tensor:
    """Computes the norm of each perturbation, shape (n, C, H, W) to (n,)."""
    if norm == "linf":
        return delta.flatten(1).abs().amax(1)
    if norm == "l0":
        return (delta != 0).any(1).flatten(1).sum(1)
    return delta.flatten(1).norm(dim=1)


def _pixels(shape: torch.Size, eps: float) -> int:
    """Number of pixels of an image, (..., H, W), that a budget in L0 lets change."""
    return min(int(eps), shape[-2] * shape[-1])


def project(attacked: Tensor, clean: Tensor, norm: str, eps: float | Tensor) -> Tensor:
    """Projects images onto the ball around `clean`, then clips them to [0, 1], which stays in the ball.

    In L0 the pixels that are changed most keep their change.

    Args:
        attacked: images, shape (n, C, H, W).
        clean: the centers of the balls, in [0, 1], same shape.
        norm: one of NORMS.
        eps: radius, a number or a tensor of shape (); in L0 a number of pixels, and no tensor.
    """
    return project_(attacked.clone(), clean, norm, eps)


def project_(attacked: Tensor, clean: Tensor, norm: str, eps: float | Tensor) -> Tensor:
    """Projects images as `project` does, in place."""
    delta = attacked.sub_(clean)
    if norm == "linf":
        bound = cast("float", eps)  # torch's types know no union, its methods do
        delta.clamp_(-bound, bound)
    elif norm == "l0":
        change = delta.square().sum(1).flatten(1)
        most = change.topk(_pixels(delta.shape, cast("float", eps)), dim=1).indices
        delta *= torch.zeros_like(change).scatter_(1, most, 1.0).view(len(delta), 1, *delta.shape[2:])
    else:
        delta *= (eps / _l2(delta).clamp_min(1e-12)).clamp(max=1.0)
    return delta.add_(clean).clamp_(0.0, 1.0)


def steepest(gradient: Tensor, norm: str) -> Tensor:
    """Returns the steepest direction of unit norm: the gradient's sign in L_inf, scaled to length 1 in L2.

    Raises:
        AttackError: in L0, whose ball has no such direction.
    """
    if norm not in CONVEX:
        raise AttackError(f"A step along a gradient is not defined in the norm {norm}; declare other norms.")
    if norm == "linf":
        return gradient.sign()
    largest = gradient.abs().amax(tuple(range(1, gradient.dim())), keepdim=True)
    # Scaled first, or the squares of small gradients would underflow, and the step would be zero.
    scaled = gradient / largest.clamp_min(torch.finfo(gradient.dtype).tiny)
    return scaled / _l2(scaled).clamp_min(1e-12)


def largest_change(gradient: Tensor, norm: str, eps: float) -> Tensor:
    """Returns how far a gradient promises that its objective rises within a ball of radius eps, shape (n,).

    Args:
        gradient: shape (n, C, H, W).
        norm: one of NORMS.
        eps: radius; in L0 a number of pixels, whose values change by at most 1.
    """
    if norm == "l0":
        by_pixel = gradient.abs().sum(1).flatten(1)
        return by_pixel.topk(_pixels(gradient.shape, eps), dim=1).values.sum(1)
    return eps * torch.linalg.vector_norm(gradient.flatten(1), ord=1 if norm == "linf" else 2, dim=1)


def random_start(clean: Tensor, ids: Tensor, norm: str, eps: float, *seed: object) -> Tensor:
    """Draws a point uniformly in each ball and clips it to [0, 1]; the draw depends on id and seed only.

    In L0 the pixels are drawn, and their values uniformly in [0, 1].

    Args:
        clean: the centers of the balls, shape (n, C, H, W).
        ids: ids of the images, shape (n,), on the device of the images.
        norm: one of NORMS.
        eps: radius; in L0 a number of pixels.
        seed: whatever else the draw depends on.
    """
    shape = clean.shape[1:]
    if norm == "l0":
        drawn = noise_per_image((1, *shape[1:]), ids, "pixels", *seed).flatten(1)
        chosen = drawn.topk(_pixels(shape, eps), dim=1).indices
        mask = torch.zeros_like(drawn, dtype=torch.bool).scatter_(1, chosen, True)
        mask = mask.view(len(clean), 1, *shape[1:])
        return torch.where(mask, noise_per_image(shape, ids, *seed).add_(1).div_(2).to(clean), clean)
    if norm == "linf":
        delta = noise_per_image(shape, ids, *seed).mul_(eps)
    else:
        direction = noise_per_image(shape, ids, *seed, normal=True)
        # The radius of a uniform point in a ball of dimension d is distributed as u^(1/d).
        uniform = noise_per_image((1,), ids, "radius", *seed).add(1).div(2).squeeze(1)
        radius = eps * uniform ** (1.0 / shape.numel())
        delta = direction * per_image(radius, direction) / _l2(direction).clamp_min(1e-12)
    return project_(clean + delta, clean, norm, eps)  # in the layout of the clean images


@dataclass(frozen=True)
class Ball:
    """The balls of one batch, intersected with the range [0, 1].

    Attributes:
        clean: the centers, in [0, 1], shape (b, C, H, W).
        norm: one of NORMS.
        eps: radius; in L0 a number of pixels.
    """

    clean: Tensor
    norm: str
    eps: float

    @property
    def pixels(self) -> int:
        """Number of pixels that a budget in L0 lets change, at most all of an image."""
        return _pixels(self.clean.shape, self.eps)

    def project(self, images: Tensor) -> Tensor:
        """Projects images, shape (b, C, H, W), onto the ball and the range."""
        return project(images, self.clean, self.norm, self.eps)

    def step(self, images: Tensor, direction: Tensor, size: float | Tensor) -> Tensor:
        """Takes a step of `size` times eps along the steepest ascent of a gradient, and projects it."""
        moved = steepest(direction, self.norm)  # a new tensor, so the rest is done in it
        if isinstance(size, Tensor):
            moved.mul_(size * self.eps).add_(images)
        else:
            torch.add(images, moved, alpha=size * self.eps, out=moved)
        return project_(moved, self.clean, self.norm, self.eps)

    def random_start(self, ids: Tensor, *seed: object) -> Tensor:
        """Draws a point uniformly in each ball, as `random_start` does."""
        return random_start(self.clean, ids, self.norm, self.eps, *seed)
