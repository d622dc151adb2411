"""Keeps an attack from changing anything of the process that calls it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from torch import nn

from benchmark.core.seeding import derive_seed, unchanged_generators
from benchmark.models import frozen, whole_float32


@contextmanager
def unchanged_state(device: torch.device, *models: nn.Module) -> Iterator[None]:
    """Runs the block as a run of the benchmark would, and restores everything after it, also on an error.

    Restored are: the training mode of every module, `requires_grad` of every parameter, the generators of
    Python, NumPy and torch, and torch's grad mode, inference mode, autocast, default dtype, default device
    and the precision of convolutions and matrix products.

    Args:
        device: the device of the computation, whose generator is kept beside the CPU's.
        models: are in evaluation mode within the block, their parameters without gradients.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.autocast(device.type, enabled=False))
        stack.enter_context(unchanged_generators([device] if device.type == "cuda" else []))
        stack.enter_context(_defaults())
        stack.enter_context(whole_float32())
        for model in models:
            stack.enter_context(frozen(model))
        yield


def seed_generators(device: torch.device, *parts: object) -> None:
    """Seeds Python, NumPy and torch, on the CPU and on one device."""
    seed = derive_seed(*parts)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


@contextmanager
def _defaults() -> Iterator[None]:
    """Makes new tensors float32 on the CPU, as they are in a run."""
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with ExitStack() as stack:
            if torch.get_default_device().type != "cpu":  # else it would only slow every call down
                stack.enter_context(torch.device("cpu"))
            yield
    finally:
        torch.set_default_dtype(dtype)
