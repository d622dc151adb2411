"""Cosines rounded so that those of equal embeddings are equal."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

NOTHING = 1e-12
"""A cosine this near to 0 is 0: well beyond the error of float64 sums, and nothing that images differ by."""


def rounded(cosines: Tensor) -> Tensor:
    """From float64 to float32, any shape, so that equal embeddings are ties.

    A matrix product may add up its columns in different orders, so that equal embeddings differ in the last
    bits. Rounding to float32 makes them ties again, but for those around 0, where floating point has no last
    bits to lose: orthogonal vectors give some 1e-17 or other.
    """
    return F.hardshrink(cosines, NOTHING).float()
