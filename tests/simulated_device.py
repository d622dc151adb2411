"""A simulated device: its tensors hold real numbers, and operations on tensors of two devices fail."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

OTHER = torch.device("meta")
"""Device of its tensors: one that torch knows everywhere, and that nothing else here uses."""

MOVES = ("_to_copy", "copy_")
INDEXING = ("index", "index_put", "index_put_", "_index_put_impl_")


class OtherTensor(torch.Tensor):
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
    """Mode in which tensors can be made on, and moved to, the other device."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _call(func, args, kwargs or {})


def inner(value):
    """Returns the numbers of a tensor of either device."""
    return value.inner if isinstance(value, OtherTensor) else value


def mapped(change, value):
    """Changes each part of lists, tuples and dictionaries, all that operations take; pytree is slower."""
    if isinstance(value, list | tuple):
        return type(value)([mapped(change, part) for part in value])
    if isinstance(value, dict):
        return {name: mapped(change, part) for name, part in value.items()}
    return change(value)


def _call(func, args, kwargs):
    name = func.overloadpacket.__name__
    tensors = []
    mapped(lambda part: tensors.append(part) if isinstance(part, torch.Tensor) else None, (args, kwargs))
    other = any(isinstance(tensor, OtherTensor) for tensor in tensors)
    if name not in MOVES and not (name in INDEXING and isinstance(args[0], OtherTensor)):
        # Scalars and indices on the CPU may be combined with any device.
        mixed = other and any(not isinstance(tensor, OtherTensor) and tensor.dim() for tensor in tensors)
        assert not mixed, f"{func} on two devices"
    if (device := kwargs.get("device")) is not None:
        other = torch.device(device) == OTHER
        kwargs = {**kwargs, "device": "cpu"}
    found = func(*mapped(inner, args), **mapped(inner, kwargs))
    if name.endswith("_") and not name.endswith("__"):  # in place, unlike `__rshift__`
        return args[0]
    return mapped(lambda part: OtherTensor(part) if other and type(part) is torch.Tensor else part, found)
