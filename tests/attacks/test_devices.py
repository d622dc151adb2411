"""Attacks where the model is on a device and the pool there, on the CPU, or in a store."""

import pytest
import torch
import torch.nn.functional as F

from attacks import ATTACKS, OBJECTIVES, Problem
from benchmark.core.embedder import Embedder
from benchmark.core.nested_tensors import pack, unpack

from ..simulated_device import OTHER, TwoDevices, inner
from .budgets import in_norm

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

    def run(attack, device, wrap, save_point=None, **masks):
        model = Product(weight.to(device))
        problem = Problem(
            model, wrap(pool.images.clone()), pool.labels.to(device), pool.ids, attack.norms[-1],
            in_norm(0.1, attack.norms[-1]), batch_size=7, sources={"vanilla": model}, save_point=save_point,
            **{key: mask.to(device) for key, mask in masks.items()},
        )  # fmt: skip
        return attack.run(problem)

    return run


@pytest.mark.slow
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


class Kept:
    """Keeps the second state of an attack, as a file would, for another attack that begins with it."""

    def __init__(self):
        self.saves, self.kept, self.rewound = 0, None, False

    def read(self):
        if self.kept is None:
            return None
        described, tensors, images = self.kept
        return unpack(described, tensors, OTHER), images

    def rewind(self):
        self.rewound = True

    def due(self):
        return True

    def save(self, state, images):
        self.saves += 1
        if self.saves == 2 and not self.rewound:
            self.kept = (*pack(state), None if images is None else images.cpu().clone())
            assert all(type(tensor) is torch.Tensor for tensor in self.kept[1].values())


@pytest.mark.slow
@pytest.mark.parametrize("spec", SPECS)
def test_a_state_returns_to_the_devices_that_it_came_from(attacked, spec):
    attack = ATTACKS.build(spec)
    for wrap in (on_device, Store):
        point = Kept()
        with TwoDevices():
            expected = attacked(attack, OTHER, wrap, save_point=point)
            assert point.kept is not None
            found = attacked(attack, OTHER, wrap, save_point=point)
        assert point.rewound
        assert torch.equal(inner(found.images), inner(expected.images))
        assert found.objective is None or torch.equal(found.objective.inner, expected.objective.inner)


def test_operations_on_two_devices_raise():
    with TwoDevices():
        tensor = torch.ones(2).to(OTHER)
        assert (tensor + 1).inner.tolist() == [2, 2]
        with pytest.raises(AssertionError, match="two devices"):
            tensor + torch.ones(2)
