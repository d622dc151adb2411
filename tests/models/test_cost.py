import pytest
import torch
from torch import nn

from benchmark.core.embedder import Embedder
from benchmark.models import BACKBONES, Ensemble, PassCounter, count_flops
from benchmark.models.smallconv_layers import GrayConv2d
from benchmark.training.inner import TrainingAttack, frozen

SHAPE = (1, 8, 8)
IMAGES = torch.rand(5, *SHAPE)
LABELS = torch.arange(5) % 3


def counter_of(model, member):
    return PassCounter(model, SHAPE, count_flops(member, SHAPE))


def test_flops_of_a_hand_counted_network():
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 64, 10)
    )
    assert count_flops(network, SHAPE) == 2 * (64 * 4 * 9 + 4 * 64 * 10)


def test_counting_flops_changes_nothing(make_member):
    member = make_member().train()
    next(member.embedder.modules()).network[1].eval()  # a batch norm that someone froze
    before = {key: value.clone() for key, value in member.state_dict().items()}
    modes = [module.training for module in member.modules()]
    count_flops(member, SHAPE)
    assert modes == [module.training for module in member.modules()]
    assert all(torch.equal(value, before[key]) for key, value in member.state_dict().items())


def test_a_forward_pass_without_gradient_is_one_unit(make_member):
    member = make_member().eval()
    with counter_of(member, member) as counter, torch.no_grad():
        member(IMAGES)
    assert (counter.forward, counter.backward, counter.total, counter.per_image) == (5, 0, 5, 1)


def test_a_training_step_is_three_units(make_member):
    member = make_member()
    with counter_of(member, member) as counter:
        member.loss(member(IMAGES), LABELS).backward()
    assert (counter.forward, counter.backward) == (5, 10)


def test_the_gradient_of_an_attack_is_two_units(make_member):
    member = make_member().eval().requires_grad_(False)
    images = IMAGES.clone().requires_grad_(True)
    with counter_of(member, member) as counter:
        torch.autograd.grad(member(images).sum(), images)
    assert (counter.forward, counter.backward) == (5, 5)


@pytest.mark.parametrize("steps", [1, 4])
def test_adversarial_training_is_two_units_a_step_and_three(make_member, steps):
    member = make_member()
    with counter_of(member, member) as counter:
        found = TrainingAttack(0.1, steps, 0.5)(lambda x: member.loss(member(x), LABELS), IMAGES, member)
        member.loss(member(found), LABELS).backward()
    assert counter.total == 5 * (2 * steps + 3)


def test_a_forward_pass_whose_gradient_is_not_asked_for_is_one_unit(make_member):
    member = make_member()
    with counter_of(member, member) as counter:
        member(IMAGES).detach()
    assert counter.total == 5


def test_an_ensemble_counts_every_member(make_member):
    members = [make_member() for _ in range(3)]
    ensemble = Ensemble(members)
    with counter_of(ensemble, members[0]) as counter:
        ensemble(IMAGES).sum().backward()
    assert (counter.forward, counter.backward, counter.per_image) == (15, 30, 3)
    with counter_of(ensemble, members[0]) as counter, frozen(ensemble), torch.no_grad():
        members[1](IMAGES[:2])
    assert counter.total == 2


def test_a_larger_member_weighs_its_flops(make_member):
    small, large = make_member(), make_member(backbone="smallconv[dim=8,width=0.5]")
    ratio = count_flops(large, SHAPE) / count_flops(small, SHAPE)
    assert ratio > 2
    with counter_of(Ensemble([small, large]), small) as counter, torch.no_grad():
        large(IMAGES)
    assert counter.forward == pytest.approx(5 * ratio)
    assert counter.per_image == pytest.approx(1 + ratio)


def test_nothing_is_counted_outside_the_block(make_member):
    member = make_member()
    counter = counter_of(member, member)
    member(IMAGES)
    with pytest.raises(RuntimeError, match="stop"), counter:
        member(IMAGES)
        raise RuntimeError("stop")
    member(IMAGES)
    assert counter.forward == 5
    assert not member._forward_hooks


def test_flops_of_a_backbone_grow_with_the_image():
    backbone = BACKBONES.build("smallconv[width=0.25]")
    assert count_flops(backbone.build((1, 16, 16)), (1, 16, 16)) > 3 * count_flops(
        backbone.build(SHAPE), SHAPE
    )


class Holding(Embedder):
    """Runs a member; holds another network beside it."""

    def __init__(self, member, other):
        super().__init__()
        self.member = member
        self.other = other

    def forward(self, images):
        return self.member(images)


class Network(Embedder):
    """An embedder that contains no member."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(64, 4)

    def forward(self, images):
        return torch.nn.functional.normalize(self.layer(images.flatten(1)))


def test_a_network_that_is_held_beside_the_members_counts_at_its_flops(make_member):
    member, other = make_member(), Network().requires_grad_(False)
    weight = count_flops(other, SHAPE) / count_flops(member, SHAPE)
    assert 0 < weight < 1
    with counter_of(Holding(member, other), member) as counter, torch.no_grad():
        other(IMAGES)
    assert counter.total == pytest.approx(5 * weight)
    wrapped = torch.nn.Sequential(other)  # however it is held
    with counter_of(Holding(member, wrapped), member) as counter:
        wrapped(IMAGES.clone().requires_grad_(True)).sum().backward()
    assert counter.total == pytest.approx(2 * 5 * weight)
    with counter_of(Holding(member, make_member()), member) as counter, torch.no_grad():
        member(IMAGES)
    assert counter.total == 5


def everywhere(member):
    return PassCounter(member, SHAPE, count_flops(member, SHAPE), everywhere=True)


def test_a_part_of_a_member_that_is_called_directly_counts_as_the_member(make_member):
    member = make_member()
    with everywhere(member) as counter:
        member.embedder(IMAGES).sum().backward()
    assert counter.total == pytest.approx(15)
    with everywhere(member) as counter, frozen(member):
        images = IMAGES.clone().requires_grad_(True)
        torch.autograd.grad(member.embedder.network.forward(images).sum(), images)
    assert counter.total == pytest.approx(10)


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (nn.Conv2d(6, 4, (3, 5), groups=2), (2, 6, 9, 9), 2 * (2 * 4 * 7 * 5) * 3 * 15),
        (nn.ConvTranspose2d(6, 4, 3, groups=2), (2, 6, 5, 5), 2 * (2 * 6 * 25) * 2 * 9),
        (nn.Conv1d(3, 5, 1), (2, 3, 8), 2 * (2 * 5 * 8) * 3),
        (nn.Linear(7, 2), (3, 7), 2 * (3 * 2) * 7),
    ],
)
def test_layers_outside_of_members_count_by_their_flops(make_member, layer, shape, expected):
    with PassCounter(make_member(), SHAPE, 1, everywhere=True) as counter:
        layer(torch.rand(shape)).sum().backward()
    assert (counter.forward, counter.backward) == (expected, 2 * expected)


def test_torch_is_left_as_it_was(make_member):
    before = torch.nn.functional.conv2d, nn.Linear.forward, GrayConv2d._conv_forward
    with pytest.raises(RuntimeError, match="stop"), everywhere(make_member()):
        assert torch.nn.functional.conv2d is not before[0]
        raise RuntimeError("stop")
    assert before == (torch.nn.functional.conv2d, nn.Linear.forward, GrayConv2d._conv_forward)


def test_a_hidden_network_is_counted_only_where_that_is_asked_for(make_member):
    member, hidden = make_member(), make_member()
    weight = count_flops(hidden, SHAPE) / count_flops(member, SHAPE)
    unit = count_flops(member, SHAPE)
    with PassCounter(member, SHAPE, unit, everywhere=True) as counter, torch.no_grad():
        hidden(IMAGES)
        member(IMAGES)
    assert counter.total == pytest.approx(5 + 5 * weight)
    with PassCounter(member, SHAPE, unit) as counter, torch.no_grad():
        hidden(IMAGES)
    assert counter.total == 0


def test_a_member_that_runs_more_than_at_first_counts_as_more(make_member):
    member, hidden = make_member(), make_member()
    with everywhere(member) as counter, torch.no_grad():
        honest = member.embedder.forward
        member.embedder.forward = lambda images: honest(images) + hidden(images)
        member(IMAGES)
    assert counter.forward == pytest.approx(10)


def test_a_pass_that_raises_is_not_counted_and_hides_nothing_later(make_member):
    member = make_member()
    with everywhere(member) as counter:
        with pytest.raises(RuntimeError):
            member(torch.zeros(2, 3, 8, 8))
        with torch.no_grad():
            member.embedder(IMAGES)
    assert counter.total == pytest.approx(5)


def test_a_network_that_refuses_black_images_is_counted():
    class Demanding(nn.Flatten):
        def forward(self, images):
            assert images.max() > 0.1
            return super().forward(images)

    network = nn.Sequential(Demanding(), nn.Linear(64, 3))
    assert count_flops(network, SHAPE) == 2 * 64 * 3
