import copy

import pytest
import torch

from benchmark.core.errors import UsageError
from benchmark.models import Ensemble
from benchmark.training import TrainingAttack
from defenses import DEFENSES

ATTACK = TrainingAttack(eps=0.1, steps=2, step=0.5)


@pytest.mark.parametrize("members", [1, 2, 4])
def test_an_ensemble_is_the_sum_of_vanilla(make_member, batch, recorder, members):
    defense = DEFENSES.build(f"ensemble[members={members}]")
    model = defense.build(make_member, batch.labels).train()
    assert isinstance(model, Ensemble)
    assert len(model.members) == members
    expected = sum(member.criterion(member(batch.images), batch.labels) for member in model.members)
    torch.testing.assert_close(defense.loss(model, batch, recorder), expected)
    assert recorder.calls == []


def test_ensemble_at_attacks_each_member_on_its_own_loss(make_member, batch, recorder):
    defense = DEFENSES.build("ensemble_at")
    model = defense.build(make_member, batch.labels).train()
    loss = defense.loss(model, batch, recorder)
    assert [call[2] for call in recorder.calls] == list(model.members)
    other = torch.rand_like(batch.images)
    for (objective, images, member, start), expected in zip(recorder.calls, model.members, strict=True):
        assert member is expected
        assert start == "uniform"
        assert torch.equal(images, batch.images)
        torch.testing.assert_close(objective(other), member.criterion(member(other), batch.labels))
    adversarial = recorder.changed(batch.images)
    expected = sum(member.criterion(member(adversarial), batch.labels) for member in model.members)
    torch.testing.assert_close(loss, expected)


def test_ensemble_at_is_eat_without_split_and_transfer(make_member, images, batch):
    """The same models and draws give the same loss and the same gradients, to the bit."""
    eat, control = DEFENSES.build("eat[split=none,transfer=self]"), DEFENSES.build("ensemble_at")
    torch.manual_seed(7)
    model = eat.build(make_member, images.labels).train()
    torch.manual_seed(7)
    plain = control.build(make_member, images.labels).train()
    for ours, theirs in zip(plain.members, model.members, strict=True):
        assert all(map(torch.equal, ours.parameters(), theirs.parameters()))
    losses = []
    for defense, trained in ((eat, model), (control, plain)):
        torch.manual_seed(8)
        loss = defense.loss(trained, batch, ATTACK)
        loss.backward()
        losses.append(loss.detach())
    assert torch.equal(*losses)
    for ours, theirs in zip(plain.parameters(), model.parameters(), strict=True):
        assert torch.equal(ours.grad, theirs.grad)
    # With a split, or with transfer, it is another loss.
    for text in ("eat[transfer=self]", "eat[split=none]"):
        torch.manual_seed(8)
        assert not torch.equal(
            DEFENSES.build(text).loss(copy.deepcopy(model), batch, ATTACK).detach(), losses[0]
        )


@pytest.mark.parametrize("text", ["ensemble[members=0]", "ensemble_at[members=11]"])
def test_bad_numbers_of_members_give_one_line(text):
    with pytest.raises(UsageError) as caught:
        DEFENSES.build(text)
    assert len(str(caught.value).splitlines()) == 1
