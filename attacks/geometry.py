"""The L_inf and L2 balls: random points, projections and steepest steps."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.core.errors import UsageError
from benchmark.core.seeding import noise_per_image

NORMS = ("linf", "l2")


def _per_image(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *[1] * (like.dim() - 1))


def _l2(tensor: Tensor) -> Tensor:
    """L2 norm of each image, shaped to broadcast."""
    return _per_image(tensor.flatten(1).norm(dim=1), tensor)


def check_norm(norm: str) -> None:
    """Raises UsageError unless the norm is one of NORMS."""
    if norm not in NORMS:
        raise UsageError(f"Unknown norm '{norm}'. Valid: {', '.join(NORMS)}.")


def project(attacked: Tensor, clean: Tensor, norm: str, eps: float) -> Tensor:
    """The nearest images within the ball around `clean`, then cut to [0, 1], which keeps them in the ball.

    Args:
        attacked: images, shape (n, C, H, W).
        clean: the centres of the balls, in [0, 1], same shape.
        norm: "linf" or "l2".
        eps: radius.
    """
    delta = attacked - clean
    if norm == "linf":
        delta = delta.clamp(-eps, eps)
    else:
        delta = delta * (eps / _l2(delta).clamp_min(1e-12)).clamp(max=1.0)
    return (clean + delta).clamp(0.0, 1.0)


def steepest(gradient: Tensor, norm: str) -> Tensor:
    """The step of unit size along which a linear function with that gradient rises most."""
    if norm == "linf":
        return gradient.sign()
    largest = _per_image(gradient.flatten(1).abs().amax(1), gradient)
    # Scaled first, or the squares of small gradients would vanish, and the step with them.
    scaled = gradient / largest.clamp_min(torch.finfo(gradient.dtype).tiny)
    return scaled / _l2(scaled).clamp_min(1e-12)


def random_start(clean: Tensor, ids: Tensor, norm: str, eps: float, *seed: object) -> Tensor:
    """A point drawn uniformly in the ball, cut to [0, 1]; it depends on each image's id and the seed alone.

    Args:
        clean: the centres of the balls, shape (n, C, H, W).
        ids: ids of the images, shape (n,), on the CPU.
        norm: "linf" or "l2".
        eps: radius.
        seed: whatever else the draw depends on.
    """
    shape = clean.shape[1:]
    if norm == "linf":
        delta = eps * noise_per_image(shape, ids, *seed)
    else:
        direction = noise_per_image(shape, ids, *seed, normal=True)
        # The radius of a uniform point in a ball of dimension d is distributed as u^(1/d).
        share = noise_per_image((1,), ids, "radius", *seed).add(1).div(2).squeeze(1)
        radius = eps * share ** (1.0 / shape.numel())
        delta = direction * _per_image(radius, direction) / _l2(direction).clamp_min(1e-12)
    return project(clean + delta.to(clean.device, torch.float32), clean, norm, eps)
