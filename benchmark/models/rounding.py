"""How much rounding a model's embeddings may show."""

from __future__ import annotations

import torch

from benchmark.core.embedder import Embedder
from benchmark.models.precision import InFloat32

REPEATED = 1e-4
"""Largest difference of two embeddings of an image, by rounding."""

REPEATED_OF_HALF = 1e-2
"""The same for models that compute in 16 bits."""


def computes_in_half(model: Embedder) -> bool:
    """Return whether a model computes in 16 bits, as far as its parameters or its wrapper tell."""
    types = {parameter.dtype for parameter in model.parameters()}
    types |= {model.precision} if isinstance(model, InFloat32) else set()
    return bool(types & {torch.float16, torch.bfloat16})


def allowed_difference(model: Embedder) -> float:
    """Return how far two embeddings of an image may be apart in an entry by rounding, whatever its batch."""
    return REPEATED_OF_HALF if computes_in_half(model) else REPEATED
