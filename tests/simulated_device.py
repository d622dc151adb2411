"""A simulated device: its tensors hold real numbers, and operations on tensors of two devices fail."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

OTHER = torch.device("meta")
"""What its tensors say of themselves: a device that torch knows everywhere, and nothing else uses."""

MOVES = ("_to_copy", "copy_")
INDEXING = ("index", "index_put", "index_put_", "_index_put_impl_")


class Elsewhere(torch.Tensor):
    """A tensor on the other device; `inner` holds its numbers."""

    @staticmethod
    def __new__(cls, inner):
        made = torch.Tensor._make_wrapper_subclass(
            cls, inner.shape, dtype=inner.dtype, device=OTHER, strides=inner.stride()
        )
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _call(func, args, kwargs or {})


class TwoDevices(TorchDispatchMode):
    """Within it, tensors can be made on the other device and moved there."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _call(func, args, kwargs or {})


def inner(value):
    """The numbers of a tensor, wherever it is."""
    return value.inner if isinstance(value, Elsewhere) else value


def _call(func, args, kwargs):
    name = func.overloadpacket.__name__
    tensors = [part for part in tree_flatten((args, kwargs))[0] if isinstance(part, torch.Tensor)]
    there = any(isinstance(tensor, Elsewhere) for tensor in tensors)
    if name not in MOVES and not (name in INDEXING and isinstance(args[0], Elsewhere)):
        # A number on the CPU goes anywhere, and so do indices from there.
        mixed = there and any(not isinstance(tensor, Elsewhere) and tensor.dim() for tensor in tensors)
        assert not mixed, f"{func} on two devices"
    if (asked := kwargs.get("device")) is not None:
        there = torch.device(asked) == OTHER
        kwargs = {**kwargs, "device": "cpu"}
    found = func(*tree_map(inner, args), **tree_map(inner, kwargs))
    if name.endswith("_"):
        return args[0]
    return tree_map(lambda part: Elsewhere(part) if there and type(part) is torch.Tensor else part, found)
