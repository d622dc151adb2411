"""Rounds cosines so that those of equal embeddings are equal."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

ZERO_BELOW = 1e-12
"""Cosines up to this size become 0; it is far above the error of float64 sums."""


def rounded(cosines: Tensor) -> Tensor:
    """Rounds cosines from float64 to float32, so that equal embeddings are ties.

    A matrix product may sum different columns in different orders, so that the cosines of equal embeddings
    differ in their last bits. Rounding to float32 makes them equal again, except around 0, where float32 is
    as fine as the error: orthogonal vectors give values around 1e-17, and these become 0.

    Args:
        cosines: float64, any shape.

    Returns:
        float32, the same shape.
    """
    return F.hardshrink(cosines, ZERO_BELOW).float()
