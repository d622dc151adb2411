"""FLOPs of any network, by the operations that it runs.

torch's own mode for this imports torch's compiler at its first operation, which takes a second or two; the
formulas are torch's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

_OF_THE_TENSOR = {
    "is_contiguous", "sym_is_contiguous", "is_strides_like_format", "is_non_overlapping_and_dense",
    "size", "sym_size", "stride", "sym_stride", "storage_offset", "sym_storage_offset", "numel", "sym_numel",
    "dim", "layout",
}  # fmt: skip
"""Questions that a tensor of a class of its own answers itself."""


def traced_flops(module: nn.Module, images: Tensor) -> int:
    """Counts the FLOPs of a forward pass, as torch's `FlopCounterMode` does.

    Args:
        module: the network, in evaluation mode.
        images: shape (n, C, H, W).
    """
    from torch.utils.flop_counter import FlopCounterMode, flop_registry  # which imports Triton

    try:
        with _Counter(flop_registry) as counter:
            module(images)
    except NotImplementedError:  # control flow, as `torch.cond`
        with FlopCounterMode(display=False) as whole:
            module(images)
        return whole.get_total_flops()
    return counter.flops


class _Counter(TorchDispatchMode):
    """Counts the FLOPs of the operations in a `with` block.

    Args:
        formulas: the FLOPs of an operation by what it is given, for each that has any.
    """

    def __init__(self, formulas: Mapping[Any, Callable[..., int]]) -> None:
        super().__init__()
        self._formulas = formulas
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
        packet = func.overloadpacket
        if packet.__name__ in _OF_THE_TENSOR:
            return NotImplemented
        formula = self._formulas.get(packet)
        if formula is None and func.namespace != "prim":
            with self:  # in inference mode operations arrive whole
                parts = func.decompose(*args, **given)
            if parts is not NotImplemented:
                return parts
        found = func(*args, **given)
        if formula is not None:
            self.flops += formula(*args, **given, out_val=found)
        return found
