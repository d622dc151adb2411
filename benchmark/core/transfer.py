"""Moving small tensors to a device without waiting for it."""

from __future__ import annotations

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device | str) -> Tensor:
    """Copies a tensor of the CPU to a device; the CPU does not wait until a GPU has got to it.

    A plain `.to` of ordinary memory waits for all that the GPU has still to do, so a copy to a GPU is made
    from pinned memory.

    Args:
        tensor: the tensor; the same is returned where it is on the device.
        device: the device.
    """
    device = torch.device(device)
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
