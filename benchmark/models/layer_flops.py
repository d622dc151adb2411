"""FLOPs of networks that consist of layers of known FLOPs; those of others are traced (`traced_flops`)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from benchmark.core.embedder import Embedder
from benchmark.models.smallconv_layers import GrayConv2d, LayoutFlatten

_COUNTED = (nn.Conv2d, GrayConv2d, nn.Linear)
_FREE = (nn.BatchNorm2d, nn.Flatten, LayoutFlatten, nn.Identity, nn.ReLU)
"""Layers without FLOPs, as torch counts them: only products count."""


def layer_flops(module: nn.Module, images: Tensor) -> int | None:
    """Counts the FLOPs of a forward pass, as torch's counter does; None for a network of other layers.

    Args:
        module: the network, in evaluation mode.
        images: shape (n, C, H, W).
    """
    layers = set()
    for part in _parts(module):
        if part is None:
            return None
        if isinstance(part, _COUNTED):
            layers.add(part)
    counted: list[int] = []
    handles = [layer.register_forward_hook(partial(_count, counted)) for layer in layers]
    try:
        with torch.no_grad():
            module(images)
    finally:
        for handle in handles:
            handle.remove()
    return sum(counted)


def _parts(module: nn.Module) -> Iterator[nn.Module | None]:
    """Yields the layers of a network; None in place of what may compute more than its layers do.

    Only the classes themselves are known: a subclass may compute anything.
    """
    if type(module) in (*_COUNTED, *_FREE):
        yield module
    elif type(module) is nn.Sequential:
        for part in module.children():
            yield from _parts(part)
    elif isinstance(module, Embedder) and "only_parts" in vars(type(module)):
        for name in vars(type(module))["only_parts"]:
            yield from _parts(getattr(module, name))
    else:
        yield None


def _count(counted: list[int], layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    counted.append(products(output, cast("Tensor", layer.weight)))


def products(values: Tensor, weight: Tensor) -> int:
    """Returns the FLOPs of a layer: for each value, two for each weight of its channel.

    Args:
        values: the output; of a transposed convolution, the input.
        weight: of the layer, its first dimension the channels of the values.
    """
    return 2 * values.numel() * (weight.numel() // len(weight))
