"""The images that are attacked where the attacked fraction of a pool is below 1."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.core.errors import BenchmarkError
from benchmark.core.seeding import derive_seed


def attacked_indices(ids: Tensor, attacked_fraction: float) -> Tensor:
    """Draws the attacked images by id alone, the same for every model, attack and training seed.

    The draws are nested: the images of a smaller fraction are among those of a larger one, so that a curve
    over fractions does not jump with the draw. Classes are not balanced.

    Args:
        ids: ids of the pool's images, each once, integers, shape (n,), n >= 1.
        attacked_fraction: fraction of the pool to attack, in (0, 1].

    Returns:
        Indices into the pool, ascending, int64, shape (max(1, round(attacked_fraction * n)),), on the CPU.

    Raises:
        BenchmarkError: when the fraction is out of range or the pool is empty.
    """
    if not 0 < attacked_fraction <= 1 or not len(ids):
        raise BenchmarkError(
            f"Cannot attack a fraction of {attacked_fraction} of {len(ids)} images: the attacked fraction "
            "must be in (0, 1], and the pool must have an image."
        )
    names = ids.tolist()
    order = sorted(range(len(names)), key=lambda index: derive_seed("attacked fraction", names[index]))
    return torch.tensor(order[: max(1, round(attacked_fraction * len(names)))]).sort().values
