"""Attacks on a pool that is not on the device: the same results, without the whole pool in memory."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from attacks import ATTACKS, Attack, AttackResult, Problem
from attacks.geometry import Ball
from attacks.optimisers.updates import AutoPGDUpdate, MomentumUpdate
from benchmark.core.embedder import Embedder
from benchmark.core.errors import AttackError

from .budgets import in_norm

BATCH = 7


class Store:
    """Returns images batch by batch, and records the batch sizes."""

    def __init__(self, images):
        self._images = images
        self.sizes = []

    @property
    def image_shape(self):
        return tuple(self._images.shape[1:])

    def __len__(self):
        return len(self._images)

    def batch(self, indices, device):
        assert isinstance(indices, slice) or indices.device.type == "cpu"
        found = self._images[indices].to(device)
        self.sizes.append(len(found))
        return found


class Randomised(Embedder):
    randomised = True

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, images):
        return self.inner(images + 0.05 * torch.randn_like(images))


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr("attacks.base.CHUNK", BATCH)


def results(attack, embedder, pool, **options):
    """Results of an attack on a pool in memory, and on the same pool in a store."""
    found = []
    for images in (pool.images.clone(), Store(pool.images)):
        torch.manual_seed(0)
        eps = in_norm(0.1, options["norm"])
        problem = Problem(
            embedder, images, pool.labels, pool.ids, eps=eps, batch_size=BATCH,
            sources={"vanilla": embedder}, **options,
        )  # fmt: skip
        found.append(attack.run(problem))
    assert max(images.sizes) <= BATCH
    return found


def assert_same(in_memory, stored):
    assert torch.equal(stored.images, in_memory.images)
    assert stored.zero_gradient == in_memory.zero_gradient
    assert (stored.objective is None) == (in_memory.objective is None)
    assert in_memory.objective is None or torch.equal(stored.objective, in_memory.objective)


SOME = torch.tensor([2, 3, 5, 8, 11, 17, 20, 23, 28])


@pytest.mark.slow
def test_the_result_does_not_depend_on_where_the_pool_is(trained, pool, attack_on, pair):
    name, objective = pair
    attack = attack_on(name, objective, restarts=2, queries=5)
    for norm, some in zip(attack.norms[::-1], (None, SOME), strict=False):
        assert_same(*results(attack, trained, pool, norm=norm, attacked=some))


@pytest.mark.parametrize("name", ["robrank[measure=gtm,steps=2]", "cw[objective=shift,searches=2,steps=2]"])
def test_the_same_with_attacks_of_other_kinds(trained, pool, name):
    attack = ATTACKS.build(name)
    assert_same(*results(attack, trained, pool, norm=attack.norms[-1]))


@pytest.mark.parametrize(
    ("name", "objective"),
    [("pgd", "own"), ("apgd", "pool"), ("cw", "own"), ("square", "own"), ("square", "pool"), ("noise", None)],
)
def test_the_same_with_a_randomised_model(trained, pool, attack_on, name, objective):
    attack = attack_on(name, objective, restarts=2, queries=12)
    assert_same(*results(attack, Randomised(trained), pool, norm=attack.norms[-1], eot=2, attacked=SOME))


class LargeTensors(TorchDispatchMode):
    """Keeps every tensor with at least as many numbers as a whole pool has."""

    def __init__(self, least):
        super().__init__()
        self.least = least
        self.kept = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        for value in found if isinstance(found, (tuple, list)) else [found]:
            if isinstance(value, torch.Tensor) and value.numel() >= self.least:
                self.kept[value.untyped_storage().data_ptr()] = value
        return found


@pytest.mark.parametrize("some", [None, torch.tensor([1, 4, 6])])
@pytest.mark.parametrize(
    "spec",
    [
        "pgd_decay[objective=neighbour,steps=3]",
        "apgd[objective=own,steps=3,restarts=2]",
        "pgd_decay[objective=information,steps=3]",
        "mi_fgsm[objective=pool,steps=3]",
        "square[objective=neighbour,queries=4]",
        "transfer[source=vanilla,attack=pgd_decay[objective=pool,steps=3]]",
        "noise",
    ],
)
def test_only_the_attacked_pool_is_in_memory_as_a_whole(linear, pool, spec, some):
    problem = Problem(
        linear, Store(pool.images), pool.labels, pool.ids, "linf", 0.1, batch_size=BATCH,
        attacked=some, sources={"vanilla": linear},
    )  # fmt: skip
    with LargeTensors(pool.images.numel()) as large:
        result = ATTACKS.build(spec).run(problem)
    assert set(large.kept) == {result.images.untyped_storage().data_ptr()}


@pytest.mark.parametrize(
    ("spec", "pools"),
    [
        ("noise", 1),
        ("pgd_decay[objective=neighbour,restarts=3]", 1),
        ("pgd_decay[objective=recluster]", 1),
        ("pgd_decay[objective=information]", 3),
        ("pgd_decay[objective=information,restarts=2]", 4),
        ("mi_fgsm[objective=pool]", 2),
        ("apgd[objective=pool,restarts=2]", 5),
        ("apgd[objective=own]", 1),
        ("transfer[source=vanilla,attack=mi_fgsm[objective=pool]]", 2),
    ],
)
def test_the_number_of_pools_in_memory(spec, pools):
    assert ATTACKS.build(spec).pools_in_memory() == pools


@pytest.mark.parametrize("make", [lambda: MomentumUpdate(0.25, 1.0), lambda: AutoPGDUpdate(9)])
def test_the_whole_state_of_an_update_moves_to_a_device(make):
    clean = torch.rand(4, 1, 3, 3)
    update = make()
    update.move(clean, torch.zeros(4), torch.rand_like(clean), Ball(clean, "linf", 0.1))
    update.to(torch.device("meta"))
    found = []
    for value in vars(update).values():
        found += [part for part in (value if isinstance(value, tuple) else (value,)) if torch.is_tensor(part)]
    images = sum(tensor.shape == clean.shape for tensor in found)
    assert images == update.state_pools
    assert {tensor.device.type for tensor in found} == {"meta"}


@pytest.mark.parametrize("change", [0.05, -0.2, 0.2])
def test_the_result_is_checked(linear, pool, change):
    class Bump(Attack):
        def perturb(self, problem):
            images = problem.get_batch(problem.all_indices)
            images[-1] += change
            return AttackResult(images)

    Bump.name = "bump"
    images = pool.images * 0.5 + 0.25
    if abs(change) <= 0.1:
        problem = Problem(linear, Store(images), pool.labels, pool.ids, "linf", 0.1)
        assert not torch.equal(Bump().run(problem).images, images)
        problem.attacked = torch.tensor([0, 4])  # without the changed image, which is reset to the clean one
        assert torch.equal(Bump().run(problem).images, images)
    else:
        with pytest.raises(AttackError, match="left its ball"):
            Bump().run(Problem(linear, Store(images), pool.labels, pool.ids, "linf", 0.1))


def test_the_clean_pool_is_embedded_in_the_same_batches(linear, pool):
    in_memory, stored = (
        Problem(linear, images, pool.labels, pool.ids, "linf", 0.1, batch_size=BATCH)
        for images in (pool.images, Store(pool.images))
    )
    assert not in_memory.is_offloaded and stored.is_offloaded
    assert in_memory.shape == stored.shape == tuple(pool.images.shape)
    assert torch.equal(in_memory.clean, stored.clean)
    torch.testing.assert_close(stored.clean, F.normalize(linear(pool.images)))
    assert max(stored.images.sizes) == BATCH
