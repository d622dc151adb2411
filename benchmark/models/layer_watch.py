"""Watching every convolution and linear layer that runs within a block, whichever network it is of."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.models.layer_flops import products
from benchmark.models.smallconv_layers import GrayConv2d

_CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")
_TRANSPOSED = ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")

Seen = Callable[[int, Tensor, Tensor], None]
"""Gets the FLOPs of a layer's forward pass, its weight, and its output."""


class LayerWatch:
    """Calls a function after each convolution and each linear layer of this process in a `with` block.

    Torch's own functions are replaced within the block: a hook on all modules costs 8 microseconds for each
    of them, several percent of the pass of a small network. What calls `torch.conv2d` itself (but for
    `GrayConv2d`), or a product of matrices that is in no linear layer, is not seen; neither is a compiled
    network.

    Args:
        seen: the function.
    """

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._originals: list[tuple[Any, str, Any]] = []

    def __enter__(self) -> LayerWatch:
        for name in (*_CONVOLUTIONS, *_TRANSPOSED):
            self._replace(F, name, _watched(getattr(F, name), name in _TRANSPOSED, self._seen))
        for kind, method in ((nn.Linear, "forward"), (GrayConv2d, "_conv_forward")):
            self._replace(kind, method, _watched_layer(getattr(kind, method), self._seen))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._originals:
            setattr(*self._originals.pop())

    def _replace(self, owner: Any, name: str, function: Any) -> None:
        self._originals.append((owner, name, getattr(owner, name)))
        setattr(owner, name, function)


def _watched(function: Callable[..., Any], transposed: bool, seen: Seen) -> Callable[..., Any]:
    def convolution(input: Tensor, weight: Tensor, *arguments: Any, **options: Any) -> Any:
        output = function(input, weight, *arguments, **options)
        if isinstance(output, Tensor):  # no stand-in of a network that is being traced
            seen(products(input if transposed else output, weight), weight, output)
        return output

    return convolution


def _watched_layer(function: Callable[..., Any], seen: Seen) -> Callable[..., Any]:
    def forward(self: nn.Linear | GrayConv2d, input: Tensor, *arguments: Any) -> Any:
        output = function(self, input, *arguments)
        if isinstance(output, Tensor):
            weight = (
                arguments[0] if arguments else self.weight
            )  # a parametrization computes it anew each time
            seen(products(output, weight), weight, output)
        return output

    return forward
