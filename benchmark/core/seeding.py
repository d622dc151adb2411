"""Random seeds, derived from what a job computes, so that no result depends on what ran before it."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor


def derive_seed(*parts: object) -> int:
    """Derive a 63-bit seed from any values with a stable text form."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def seed_everything(*parts: object) -> int:
    """Seed Python, NumPy and torch (every device) from the parts, and return the seed."""
    seed = derive_seed(*parts)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    return seed


@contextmanager
def unchanged_generators(devices: Sequence[torch.device | int] | None = None) -> Iterator[None]:
    """Restore the generators of Python, NumPy and torch after the block, also on an error.

    Args:
        devices: the GPUs whose generators are restored as well; by default all, once one is in use.
    """
    if devices is None:
        devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(list(devices)):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


GAMMA = 0x9E3779B97F4A7C15
"""Distance of the states of two subsequent draws of SplitMix64: an odd number near 2^64 / golden ratio."""


def noise_per_image(
    shape: torch.Size | tuple[int, ...], ids: Tensor, *parts: object, normal: bool = False
) -> Tensor:
    """Draw noise for each image that depends only on the image's id, the pixel and the parts.

    The composition of a batch therefore does not change an image's random start. The generator is
    counter-based: each number is a hash of its position, computed by integer operations on the device of the
    ids. Uniform noise has the same bits on every device. Normal noise is computed in float64 and rounded, so
    that the devices' logarithms and cosines may change the last bit of one number in 10^8.

    Each image has a stream of SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number
    generators", OOPSLA), whose state is a hash of the id and the parts. One 64-bit draw gives two numbers.

    Args:
        shape: the shape of one image, without the batch dimension.
        ids: integer ids, shape (n,), on the device that the noise is needed on.
        parts: other values that the noise depends on (seed, restart, ...).
        normal: draw from the standard normal distribution instead of uniformly from [-1, 1].

    Returns:
        A float32 tensor of shape (n, *shape) on the device of the ids.
    """
    count = math.prod(shape)
    key = derive_seed(*parts)
    states = _mix(_mix(ids.long().unsqueeze(1) * _signed(GAMMA)) ^ key)
    draws = states + torch.arange(1, (count + 1) // 2 + 1, device=ids.device) * _signed(GAMMA)
    halves = _mix(draws).view(torch.int32)  # the lower half of each draw comes first
    noise = _normal(halves).float() if normal else halves.float().mul_(2.0**-31)
    return noise[:, :count].reshape(-1, *shape)


def _normal(halves: Tensor) -> Tensor:
    """Map pairs of uniform 32-bit integers, shape (n, 2 k), to as many normal numbers (Box-Muller)."""
    first, second = ((halves[:, half::2].double() + (2.0**31 + 0.5)) * 2.0**-32 for half in (0, 1))
    radius, angle = first.log().mul_(-2).sqrt_(), second.mul_(2 * math.pi)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=2).flatten(1)


def _mix(words: Tensor) -> Tensor:
    """Hash 64-bit integers in place by SplitMix64's output function; products wrap around as in C."""
    words ^= (words >> 30) & 0x3FFFFFFFF  # the masks make arithmetic shifts logical
    words *= _signed(0xBF58476D1CE4E5B9)
    words ^= (words >> 27) & 0x1FFFFFFFFF
    words *= _signed(0x94D049BB133111EB)
    words ^= (words >> 31) & 0x1FFFFFFFF
    return words


def _signed(word: int) -> int:
    """Return the signed integer with the same 64 bits."""
    return word - 2**64 if word >= 2**63 else word
