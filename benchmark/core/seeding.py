"""Random seeds, derived from what a job computes, so that no result depends on what ran before it."""

from __future__ import annotations

import hashlib
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


def noise_per_image(
    shape: torch.Size | tuple[int, ...], ids: Tensor, *parts: object, normal: bool = False
) -> Tensor:
    """Draw noise for each image that depends only on the image's id and the parts.

    The composition of a batch therefore does not change an image's random start.

    Args:
        shape: the shape of one image, without the batch dimension.
        ids: integer ids, shape (n,).
        parts: other values that the noise depends on (seed, restart, ...).
        normal: draw from the standard normal distribution instead of uniformly from [-1, 1].

    Returns:
        A float32 tensor of shape (n, *shape) on the CPU.
    """
    noise = torch.empty((len(ids), *shape))
    for row, image_id in enumerate(ids.tolist()):
        generator = torch.Generator().manual_seed(derive_seed(image_id, *parts))
        if normal:
            noise[row].normal_(generator=generator)
        else:
            noise[row].uniform_(-1.0, 1.0, generator=generator)
    return noise
