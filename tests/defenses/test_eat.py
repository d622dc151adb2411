from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_model, save_model

from benchmark.core.errors import UsageError
from defenses import DEFENSES, Batch
from defenses.eat import stratified_parts


@pytest.fixture
def build(make_member, images):
    def make(text, part=None):
        defense = DEFENSES.build(text)
        model = defense.build(make_member, images.labels).train()
        if part is not None:
            model.part.copy_(torch.as_tensor(part))
        return defense, model

    return make


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(1, 10))
def test_parts_are_dealt_evenly_within_each_class(labels, parts):
    part = stratified_parts(torch.tensor(labels), parts)
    assert part.shape == (len(labels),)
    assert set(part.tolist()) <= set(range(parts))
    for label in set(labels):
        sizes = Counter(part[torch.tensor(labels) == label].tolist())
        counts = [sizes[k] for k in range(parts)]
        assert max(counts) - min(counts) <= 1  # so every part has the class where it has enough images


def test_parts_are_random_and_surplus_images_are_spread():
    labels = torch.arange(300).repeat_interleave(4)
    torch.manual_seed(1)
    first = stratified_parts(labels, 3)
    torch.manual_seed(1)
    assert torch.equal(first, stratified_parts(labels, 3))
    assert not torch.equal(first, stratified_parts(labels, 3))
    sizes = torch.bincount(first, minlength=3)
    assert sizes.sum() == 1200
    assert (sizes - 400).abs().max() < 50
    # An image's position within its class does not determine its part.
    for position in range(4):
        assert (torch.bincount(first[position::4], minlength=3) - 100).abs().max() < 40


@pytest.mark.parametrize(("split", "times"), [("leave_one_out", 3), ("disjoint", 1), ("none", 4)])
def test_how_many_members_train_on_an_image(split, times):
    defense = DEFENSES.build(f"eat[members=4,split={split}]")
    part = torch.arange(20) % 4
    masks = torch.stack([defense.trains_on(i, part) for i in range(4)])
    assert (masks.sum(0) == times).all()
    for i in range(4):
        seen = set(part[masks[i]].tolist())
        assert seen == {"leave_one_out": {0, 1, 2, 3} - {i}, "disjoint": {i}, "none": {0, 1, 2, 3}}[split]


def test_the_split_is_a_buffer_of_the_model(build, images):
    _, model = build("eat[members=4]")
    assert model.part.shape == images.labels.shape
    assert "part" in model.state_dict()
    assert len(model.members) == 4
    for label in range(12):
        assert sorted(model.part[images.labels == label].tolist()) == [0, 0, 1, 1, 2, 2, 3, 3]


def masked_losses(defense, model, batch, adversarial):
    """The sum of the members' losses, member by member on its own images."""
    total = 0.0
    for i, member in enumerate(model.members):
        mask = torch.tensor([bool(defense.trains_on(i, model.part[k : k + 1])) for k in batch.index])
        total += member.criterion(member(adversarial[mask]), batch.labels[mask])
    return total


@pytest.mark.parametrize("split", ["leave_one_out", "disjoint", "none"])
@pytest.mark.parametrize("transfer", ["ensemble", "peers", "self"])
def test_the_loss_is_the_sum_over_members_on_their_own_parts(build, batch, recorder, split, transfer):
    defense, model = build(f"eat[split={split},transfer={transfer}]")
    loss = defense.loss(model, batch, recorder)
    torch.testing.assert_close(loss, masked_losses(defense, model, batch, recorder.changed(batch.images)))


def test_ensemble_transfer_attacks_the_sum_of_all_losses_once(build, batch, recorder):
    defense, model = build("eat[transfer=ensemble]")
    defense.loss(model, batch, recorder)
    objective = recorder.only_objective(model, batch.images)
    other = torch.rand_like(batch.images)
    expected = sum(member.criterion(member(other), batch.labels) for member in model.members)
    torch.testing.assert_close(objective(other), expected)


@pytest.mark.parametrize("split", ["leave_one_out", "disjoint", "none"])
def test_self_transfer_attacks_each_member_on_its_own_images(build, batch, recorder, split):
    defense, model = build(f"eat[transfer=self,split={split}]")
    defense.loss(model, batch, recorder)
    assert [call[2] for call in recorder.calls] == list(model.members)
    for i, (objective, images, member, _) in enumerate(recorder.calls):
        mask = defense.trains_on(i, model.part[batch.index])
        assert torch.equal(images, batch.images[mask])
        other = torch.rand_like(images)
        torch.testing.assert_close(objective(other), member.criterion(member(other), batch.labels[mask]))


@pytest.mark.parametrize("members", [2, 3, 5])
def test_peers_transfer_attacks_each_member_on_an_equal_subset(build, batch, recorder, members):
    defense, model = build(f"eat[transfer=peers,members={members}]")
    defense.loss(model, batch, recorder)
    assert [call[2] for call in recorder.calls] == list(model.members)
    sizes = [len(call[1]) for call in recorder.calls]
    assert sum(sizes) == len(batch.images)
    assert max(sizes) - min(sizes) <= 1
    seen = []
    for objective, images, member, _ in recorder.calls:
        where = [(batch.images == image).flatten(1).all(1).nonzero().item() for image in images]
        seen += where
        other = torch.rand_like(images)
        torch.testing.assert_close(objective(other), member.criterion(member(other), batch.labels[where]))
    assert sorted(seen) == list(range(len(batch.images)))


def test_each_subset_of_peers_keeps_its_position(build, batch):
    """An adversarial image keeps its label: the attack here marks the member that it was computed on."""
    defense, model = build("eat[members=3,transfer=peers,split=none]")
    order = {member: i for i, member in enumerate(model.members)}
    seen = []
    for member in model.members:
        member.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    defense.loss(model, batch, lambda objective, images, model, **options: images + 10 * (1 + order[model]))
    for inputs in seen:
        marks = (inputs / 10).floor().flatten(1)[:, 0]
        assert marks.tolist() == [1 + i % 3 for i in range(len(inputs))]
        torch.testing.assert_close(inputs - 10 * marks.view(-1, 1, 1, 1), batch.images, atol=1e-5, rtol=0)


def test_a_member_with_a_single_image_is_not_trained(build, batch, recorder, images):
    part = torch.zeros(len(images), dtype=torch.long)
    part[batch.index[:1]] = 1
    defense, model = build("eat[members=3,split=disjoint]", part)
    loss = defense.loss(model, batch, recorder)
    loss.backward()
    trained = [any(p.grad is not None for p in member.parameters()) for member in model.members]
    assert trained == [True, False, False]


@pytest.mark.parametrize("transfer", ["ensemble", "peers", "self"])
def test_a_batch_smaller_than_the_ensemble(build, batch, recorder, transfer):
    defense, model = build(f"eat[members=10,split=none,transfer={transfer}]")
    small = Batch(batch.images[:4], batch.labels[:4], batch.index[:4])
    assert torch.isfinite(defense.loss(model, small, recorder))


def test_one_member_cannot_leave_one_out(build, batch, recorder):
    with pytest.raises(UsageError) as caught:
        DEFENSES.build("eat[members=1]")
    message = str(caught.value)
    assert "leaves no image to train on" in message
    assert len(message.splitlines()) == 1
    assert "use split=none" in message
    defense, model = build("eat[members=1,split=none]")
    assert torch.isfinite(defense.loss(model, batch, recorder))
    assert defense.spec == "eat[members=1,split=none]"
    assert DEFENSES.build(defense.spec) == defense


def test_shared_proxies_are_one_set_that_every_member_trains(build, make_member, batch, recorder, tmp_path):
    torch.manual_seed(4)
    _, own = build("eat")
    torch.manual_seed(4)
    defense, model = build("eat[proxies=shared]")
    assert len({id(member.criterion) for member in own.members}) == 3
    assert len({id(member.criterion) for member in model.members}) == 1
    assert torch.equal(own.part, model.part)  # the option changes no draw
    for ours, theirs in zip(model.members, own.members, strict=True):
        assert all(map(torch.equal, ours.embedder.parameters(), theirs.embedder.parameters()))
    defense.loss(model, batch, recorder).backward()
    (proxies,) = model.members[0].criterion.parameters()
    together = proxies.grad.clone()
    apart = torch.zeros_like(together)
    for i, member in enumerate(model.members):
        mask = defense.trains_on(i, model.part[batch.index])
        loss = member.criterion(member(recorder.changed(batch.images)[mask]), batch.labels[mask])
        apart += torch.autograd.grad(loss, proxies)[0]
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-4)
    save_model(model, str(tmp_path / "model.safetensors"))
    fresh = defense.build(make_member, model.part % 12)
    fresh.part = torch.zeros_like(model.part)
    load_model(fresh, str(tmp_path / "model.safetensors"))
    assert all(map(torch.equal, fresh.state_dict().values(), model.state_dict().values()))
    assert fresh.members[2].criterion is fresh.members[0].criterion
