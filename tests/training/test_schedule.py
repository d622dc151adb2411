import pytest
import torch

from benchmark.losses import LOSSES
from benchmark.models import BACKBONES, Member
from benchmark.training import Recipe
from benchmark.training.schedule import WarmUp, make_optimizer
from defenses import DEFENSES

PER_EPOCH = 4


def rates(recipe, model, epochs):
    """The learning rate in the middle of each epoch, of weights and of proxies."""
    optimizer, schedule = make_optimizer(model, recipe, epochs, PER_EPOCH)
    found = []
    for _ in range(epochs):
        for batch in range(PER_EPOCH):
            if batch == PER_EPOCH // 2:
                found.append([group["lr"] for group in optimizer.param_groups])
            optimizer.step()
            schedule.step()
    return list(zip(*found, strict=True))


@pytest.fixture
def member(make_member):
    return make_member()


def test_constant(member):
    weights, proxies = rates(Recipe(schedule="constant", lr=0.5, proxy_lr_scale=10), member, 3)
    assert weights == (0.5,) * 3 and proxies == (5.0,) * 3


def test_steps(member):
    recipe = Recipe(schedule="step", lr=1.0, proxy_lr_scale=100, decay_every=2, decay=0.5, epochs=6)
    weights, proxies = rates(recipe, member, 6)
    assert weights == (1, 1, 0.5, 0.5, 0.25, 0.25)
    assert proxies == tuple(100 * rate for rate in weights)


@pytest.mark.parametrize(
    ("epochs", "expected"), [(12, [1] * 4 + [0.5] * 4 + [0.25] * 4), (3, [1, 0.5, 0.25])]
)
def test_steps_stretch_with_the_training(member, epochs, expected):
    recipe = Recipe(schedule="step", lr=1.0, decay_every=2, decay=0.5, epochs=6)
    assert list(rates(recipe, member, epochs)[0]) == expected


def test_one_cycle_rises_to_the_highest_rate_and_ends_near_zero(member):
    weights, _ = rates(Recipe(schedule="one_cycle", lr=1.0), member, 10)
    peak = weights.index(max(weights))
    assert 0.9 < weights[peak] <= 1 and 2 <= peak <= 4
    assert list(weights[: peak + 1]) == sorted(weights[: peak + 1])
    assert list(weights[peak:]) == sorted(weights[peak:], reverse=True)
    assert weights[0] < 0.3 and weights[-1] < 0.05


@pytest.mark.parametrize("spec", ["vanilla", "ensemble[members=2]"])
def test_warm_up_trains_only_the_new_layers_and_then_all(images, spec):
    backbone = BACKBONES.build("test_resnet[dim=8,pretrained=none]")

    def make_member():
        return Member(backbone.build((3, 32, 32)), LOSSES.build("proxy_anchor").build(12, 8), 8)

    model = DEFENSES.build(spec).build(make_member, images.labels)
    frozen = next(model.parameters())
    frozen.requires_grad_(False)  # as in frozen batch norm: the end of the warm-up must not unfreeze it
    optimizer, _ = make_optimizer(model, Recipe(lr=0.1, weight_decay=0.1), 4, 1)
    warm_up = WarmUp(model, 2)
    inputs, labels = torch.rand(16, 3, 32, 32), torch.arange(16) % 12
    for epoch in range(4):
        warm_up.start_epoch(epoch)
        before = {name: value.clone() for name, value in model.named_parameters()}
        optimizer.zero_grad(set_to_none=True)
        members = list(model.members)
        sum(part.loss(part(inputs), labels) for part in members).backward()
        optimizer.step()
        moved = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
        new = {name for name in before if ".head." in name or "criterion" in name}
        learning = {name for name, value in model.named_parameters() if value.grad is not None}
        assert moved <= learning
        if epoch < 2:
            assert moved == learning == new
        else:
            assert learning == {name for name, value in model.named_parameters() if value is not frozen}
            assert len(moved - new) >= 10
    assert optimizer.state[frozen] == {}


def test_no_warm_up_freezes_nothing(member):
    WarmUp(member, 0)
    assert all(parameter.requires_grad for parameter in member.parameters())
