"""Validates the images, labels and budget that a caller gives."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from attacks.geometry import MAX_L2, check_norm, check_pixels
from benchmark.core.errors import UsageError
from benchmark.core.parameters import parse_fraction


def check_images(images: object) -> Tensor:
    """Returns the images as a detached float32 tensor on their own device; copies only another float type.

    Raises:
        UsageError: unless they are a floating-point tensor of shape (n, C, H, W), finite and in [0, 1].
    """
    if not isinstance(images, Tensor):
        raise UsageError(f"images must be a torch.Tensor, not {type(images).__name__}.")
    if images.dim() != 4 or 0 in images.shape:
        raise UsageError(f"images must have the shape (n, C, H, W), none of them 0, not {_shape(images)}.")
    if images.dtype == torch.uint8:
        raise UsageError("images are uint8; give floats in [0, 1], as images.float() / 255.")
    if not images.is_floating_point():
        raise UsageError(f"images must be floating-point numbers in [0, 1], not {_type(images)}.")
    images = images.detach()
    low, high = float(images.min()), float(images.max())  # a NaN anywhere makes both NaN
    if not (math.isfinite(low) and math.isfinite(high)):
        raise UsageError("images hold values that are not finite.")
    if low < 0 or high > 1:
        raise UsageError(
            f"images must be in [0, 1], but reach from {low:.4g} to {high:.4g}. "
            "Normalization by mean and standard deviation belongs inside the model."
        )
    return images.float()


def check_labels(labels: object, count: int) -> Tensor:
    """Returns the labels, renumbered from 0 in the order of their values, int64, shape (n,).

    Raises:
        UsageError: unless they are `count` integers of at least two classes.
    """
    given = check_integers("labels", labels, count)
    classes, contiguous = given.unique(return_inverse=True)
    if len(classes) < 2:
        raise UsageError("labels name one class; a wrong neighbor or cluster needs at least two.")
    return contiguous


def check_integers(name: str, values: object, count: int) -> Tensor:
    """Returns integers, one for each image, as int64.

    Raises:
        UsageError: for anything else than a tensor of `count` integers.
    """
    if not isinstance(values, Tensor):
        raise UsageError(f"{name} must be a torch.Tensor, not {type(values).__name__}.")
    if values.dtype == torch.bool or values.is_floating_point() or values.is_complex():
        raise UsageError(f"{name} must be integers, not {_type(values)}.")
    if tuple(values.shape) != (count,):
        raise UsageError(f"{name} must have the shape ({count},), one for each image, not {_shape(values)}.")
    return values.detach().long()


def check_queries(queries: object, count: int) -> Tensor:
    """Returns the mask of the images that are queries only, bool, shape (n,).

    Raises:
        UsageError: unless it is a boolean mask of `count` images that marks some and leaves some as gallery.
    """
    if not (isinstance(queries, Tensor) and queries.dtype == torch.bool and tuple(queries.shape) == (count,)):
        raise UsageError(f"queries must be a boolean tensor of shape ({count},), one for each image.")
    if bool(queries.all()) or not bool(queries.any()):
        raise UsageError("queries must mark some images, and leave others as the gallery.")
    return queries


def check_budget(eps: float | str, norm: str) -> float:
    """Returns eps as a number.

    Raises:
        UsageError: for an unknown norm, or an eps that is not a number or fraction such as "8/255", is
            negative, not finite, above 1 in the norm linf, above `MAX_L2` in the norm l2, or no whole number
            in the norm l0.
    """
    check_norm(norm)
    value = parse_fraction(eps)
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not (math.isfinite(number) and number >= 0):
        raise UsageError(f"eps must be a number from 0 on, as 0.1 or '8/255', not {eps!r}.")
    if norm == "linf" and number > 1:
        raise UsageError(f"eps is {number:g}, but pixels are in [0, 1]: write 8/255, not 8.")
    if norm == "l2" and number > MAX_L2:
        raise UsageError(
            f"eps is {number:g}, but no two images are farther from one another than {MAX_L2:g}."
        )
    check_pixels(norm, number)
    return number


def check_count(name: str, value: object, least: int) -> int:
    """Returns a whole number.

    Raises:
        UsageError: for anything else, or a number below `least`.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UsageError(f"{name} must be a whole number from {least} on, not {value!r}.")
    return value


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
