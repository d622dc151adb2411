"""Attacks where the model is on a device and the pool there, on the CPU, or in a store.

The device is simulated: its tensors hold real numbers, and an operation on tensors of
two devices is an error.
"""

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from attacks import ATTACKS, OBJECTIVES, Problem
from benchmark.core.embedder import Embedder

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


def _call(func, args, kwargs):
    name = func.overloadpacket.__name__
    tensors = [part for part in tree_flatten((args, kwargs))[0] if isinstance(part, torch.Tensor)]
    other = any(isinstance(tensor, OtherTensor) for tensor in tensors)
    if name not in MOVES and not (name in INDEXING and isinstance(args[0], OtherTensor)):
        # Scalars and indices on the CPU may be combined with any device.
        mixed = other and any(not isinstance(tensor, OtherTensor) and tensor.dim() for tensor in tensors)
        assert not mixed, f"{func} on two devices"
    if (device := kwargs.get("device")) is not None:
        other = torch.device(device) == OTHER
        kwargs = {**kwargs, "device": "cpu"}
    found = func(*tree_map(inner, args), **tree_map(inner, kwargs))
    if name.endswith("_"):
        return args[0]
    return tree_map(lambda part: OtherTensor(part) if other and type(part) is torch.Tensor else part, found)


SPECS = [
    *(f"pgd_decay[objective={name},steps=2]" for name in OBJECTIVES.names()),
    "apgd[objective=pool,steps=3]",
    "mi_fgsm[objective=pool,steps=2]",
    "square[objective=own,queries=4]",
    "square[objective=pool,queries=4]",
    "cw[steps=2,searches=2]",
    "noise",
    "transfer[source=vanilla,attack=fgsm[objective=pool]]",
]


class Product(Embedder):
    def __init__(self, weight):
        super().__init__()
        self.weight = weight

    def forward(self, images):
        return F.normalize((images.flatten(1) - 0.5) @ self.weight)


class Store:
    def __init__(self, images):
        self._images = images
        self.image_shape = tuple(images.shape[1:])

    def __len__(self):
        return len(self._images)

    def batch(self, indices, device):
        return self._images[indices].to(device)


def on_device(images):
    return images.to(OTHER)


def on_cpu(images):
    return images


@pytest.fixture
def attacked(pool, monkeypatch):
    make = torch.tensor
    monkeypatch.setattr(  # the one function that would make an empty tensor there
        torch, "tensor", lambda data, device=None, **rest: make(data, **rest).to(device or "cpu")
    )
    weight = torch.randn(64, 6)

    def run(attack, device, wrap, **masks):
        model = Product(weight.to(device))
        problem = Problem(
            model, wrap(pool.images.clone()), pool.labels.to(device), pool.ids, attack.norms[-1], 0.1,
            batch_size=7, sources={"vanilla": model}, **{key: mask.to(device) for key, mask in masks.items()},
        )  # fmt: skip
        return attack.run(problem)

    return run


@pytest.mark.parametrize("spec", SPECS)
def test_no_device_is_mixed_and_the_result_is_the_same(pool, attacked, spec):
    attack = ATTACKS.build(spec)
    half = torch.arange(len(pool)) % 2 == 0
    subset, split = {"attacked": half.nonzero().flatten()}, {"queries": half}
    for masks, wraps in (({}, (on_device, Store)), (subset, (on_cpu,)), (split, (Store,))):
        expected = attacked(attack, "cpu", on_cpu, **masks)
        for wrap in wraps:
            with TwoDevices():
                found = attacked(attack, OTHER, wrap, **masks)
            assert torch.equal(inner(found.images), expected.images)
            assert (found.images.device == OTHER) == (wrap is on_device)
            assert found.objective is None or torch.equal(found.objective.inner, expected.objective)


def test_operations_on_two_devices_raise():
    with TwoDevices():
        tensor = torch.ones(2).to(OTHER)
        assert (tensor + 1).inner.tolist() == [2, 2]
        with pytest.raises(AssertionError, match="two devices"):
            tensor + torch.ones(2)
