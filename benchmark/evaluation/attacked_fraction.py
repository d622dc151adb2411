"""Which images of a pool are attacked where only a share of it is."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.core.errors import BenchmarkError
from benchmark.core.seeding import derive_seed


def attacked_indices(ids: Tensor, fraction: float) -> Tensor:
    """The images that are attacked, drawn by id alone: the same for every model, attack and training seed.

    The draws are nested: the images of a smaller fraction are among those of a larger one, so that a curve
    over fractions does not jump with the draw. Classes are not balanced.

    Args:
        ids: ids of the pool's images, each once, integers, shape (n,), n >= 1.
        fraction: share of the pool, in (0, 1].

    Returns:
        Indices into the pool, ascending, int64, shape (max(1, round(fraction * n)),), on the CPU.

    Raises:
        BenchmarkError: when the fraction is out of range or there is no image.
    """
    if not 0 < fraction <= 1 or not len(ids):
        raise BenchmarkError(f"Cannot attack a fraction {fraction} of {len(ids)} images.")
    names = ids.tolist()
    order = sorted(range(len(names)), key=lambda index: derive_seed("attacked fraction", names[index]))
    return torch.tensor(order[: max(1, round(fraction * len(names)))]).sort().values
