"""TF32: whether a GPU rounds the inputs of float32 convolutions and matrix products to 10 bits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch


class _Switch(NamedTuple):
    """One of torch's settings."""

    read: Callable[[], Any]
    write: Callable[[Any], Any]
    on: Any
    off: Any


def _attribute(owner: Any, name: str, on: Any, off: Any) -> _Switch:
    return _Switch(partial(getattr, owner, name), partial(setattr, owner, name), on, off)


@contextmanager
def tensor_float(used: bool) -> Iterator[None]:
    """Switch TF32 on or off within the block, for convolutions, recurrent layers and matrix products.

    Args:
        used: whether inputs may be rounded; a CPU does not round them, in either case.
    """
    switches, before = _found()
    try:
        for switch in switches:
            switch.write(switch.on if used else switch.off)
        yield
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.write(value)


def _found() -> tuple[list[_Switch], list[Any]]:
    """Returns torch's settings and their values.

    Torch has older and newer settings of the same things, and refuses to read the older ones where the newer
    ones say what these cannot. The older are taken where they can be read, so that models still can.
    """
    older = [
        _attribute(torch.backends.cudnn, "allow_tf32", True, False),
        _Switch(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "high", "highest"),
    ]
    try:
        return older, [switch.read() for switch in older]
    except RuntimeError:
        backends: Any = torch.backends
        owners = (backends.cudnn.conv, backends.cudnn.rnn, backends.cuda.matmul)
        newer = [_attribute(owner, "fp32_precision", "tf32", "ieee") for owner in owners]
        return newer, [switch.read() for switch in newer]
