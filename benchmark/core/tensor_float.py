"""TF32: whether a GPU rounds the inputs of float32 convolutions and matrix products to 10 bits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def tensor_float(used: bool) -> Iterator[None]:
    """Switch TF32 on or off within the block, for convolutions, recurrent layers and matrix products.

    Torch has two kinds of switches; where it has the newer one, the older may not be read after the newer was
    set to values that the older cannot express.

    Args:
        used: whether inputs may be rounded; a CPU does not, in either case.
    """
    switches, name, value = _switches(used)
    before = [getattr(switch, name) for switch in switches]
    try:
        for switch in switches:
            setattr(switch, name, value)
        yield
    finally:
        for switch, setting in zip(switches, before, strict=True):
            setattr(switch, name, setting)


def _switches(used: bool) -> tuple[list[Any], str, str | bool]:
    """Returns torch's switches, the name of their attribute, and the value that is asked for."""
    convolutions: Any = torch.backends.cudnn
    products: Any = torch.backends.cuda.matmul
    if hasattr(convolutions, "conv") and hasattr(convolutions.conv, "fp32_precision"):
        return [convolutions.conv, convolutions.rnn, products], "fp32_precision", "tf32" if used else "ieee"
    return [convolutions, products], "allow_tf32", used
