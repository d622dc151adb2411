"""FLOPs of any network, by the operations that it runs.

torch's own mode for this imports torch's compiler at its first operation, which takes a second or two; the
formulas are torch's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode


def traced_flops(module: nn.Module, images: Tensor) -> int:
    """Counts the FLOPs of a forward pass, as torch's `FlopCounterMode` does.

    Args:
        module: the network, in evaluation mode.
        images: shape (n, C, H, W).
    """
    with _Counter() as counter:
        module(images)
    return counter.flops


class _Counter(TorchDispatchMode):
    """Counts the FLOPs of the operations in a `with` block."""

    def __init__(self) -> None:
        super().__init__()
        from torch.utils.flop_counter import flop_registry

        self._formulas = flop_registry
        self.flops = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Returns False, so that torch does not import its compiler to tell it to skip this mode."""
        return False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        formula = self._formulas.get(getattr(func, "overloadpacket", None))
        if formula is None and isinstance(func, torch._ops.OpOverload):
            with self:  # in inference mode operations arrive whole
                parts = func.decompose(*args, **given)
            if parts is not NotImplemented:
                return parts
        found = func(*args, **given)
        if formula is not None:
            self.flops += formula(*args, **given, out_val=found)
        return found
