"""Nested data as a description in JSON and a list of tensors, and back without a difference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

_PLAIN = (int, float, str, type(None))


def can_be_packed(value: Any) -> bool:
    """Whether `pack` can take a value."""
    if type(value) in (list, tuple):
        return all(map(can_be_packed, value))
    if type(value) is dict:
        return all(type(key) is str for key in value) and all(map(can_be_packed, value.values()))
    return isinstance(value, Tensor) or type(value) in (*_PLAIN, bool)


def pack(value: Any) -> tuple[Any, dict[str, Tensor]]:
    """Describes nested data, and collects the tensors in it.

    Args:
        value: dictionaries with strings as keys, lists and tuples of tensors, numbers, strings, None.

    Returns:
        What JSON can hold, and the tensors by the names in it: on the CPU, contiguous, none sharing memory
        with another. Those that are already so are not copied.

    Raises:
        TypeError: for anything else in it.
    """
    packer = _Packer()
    return packer.describe(value), packer.tensors


class _Packer:
    """Collects tensors; one that occurs more than once is collected once."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._names: dict[int, dict[str, Any]] = {}
        self._memory: set[int] = set()

    def describe(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self._describe_tensor(value)
        if type(value) is dict:
            return {"dict": {key: self.describe(part) for key, part in value.items()}}
        if type(value) in (list, tuple):
            return {type(value).__name__: [self.describe(part) for part in value]}
        if not can_be_packed(value):
            raise TypeError(f"{type(value).__name__} cannot be saved")
        return value

    def _describe_tensor(self, tensor: Tensor) -> Any:
        if id(tensor) not in self._names:
            dense = tensor.detach() if _is_dense(tensor) else tensor.detach().contiguous()
            # In the order of memory, in which even channels-last images need no copy.
            flat = dense.permute(_order(dense.stride())).cpu().contiguous()
            if flat.untyped_storage().nbytes() != flat.nbytes or flat.data_ptr() in self._memory:
                flat = flat.clone()
            self._memory.add(flat.data_ptr())
            name = str(len(self.tensors))
            self.tensors[name] = flat
            self._names[id(tensor)] = {
                "tensor": name,
                "shape": list(dense.shape),
                "stride": list(dense.stride()),
                "on_device": tensor.device.type != "cpu",
            }
        return self._names[id(tensor)]


def unpack(described: Any, tensors: dict[str, Tensor], device: torch.device) -> Any:
    """Rebuilds nested data, with new tensors in the memory formats of the old ones.

    Args:
        described: what `pack` returned.
        tensors: the tensors.
        device: where those go that were not on the CPU.
    """
    return _unpack(described, tensors, device, {})


def _unpack(value: Any, tensors: dict[str, Tensor], device: torch.device, made: dict[str, Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    if "dict" in value:
        return {key: _unpack(part, tensors, device, made) for key, part in value["dict"].items()}
    if "list" in value:
        return [_unpack(part, tensors, device, made) for part in value["list"]]
    if "tuple" in value:
        return tuple(_unpack(part, tensors, device, made) for part in value["tuple"])
    name = value["tensor"]
    if name not in made:
        flat, stride = tensors[name], value["stride"]
        where = device if value["on_device"] else "cpu"
        made[name] = torch.empty_strided(value["shape"], stride, dtype=flat.dtype, device=where)
        made[name].permute(_order(stride)).copy_(flat)
    return made[name]


def _order(stride: Sequence[int]) -> list[int]:
    """Dimensions from the outermost to the innermost in memory."""
    return sorted(range(len(stride)), key=lambda dim: -stride[dim])


def _is_dense(tensor: Tensor) -> bool:
    """Whether the elements fill a piece of memory without gaps or overlaps."""
    sizes = zip(tensor.shape, tensor.stride(), strict=True)
    return tensor.numel() == 1 + sum((size - 1) * stride for size, stride in sizes)
