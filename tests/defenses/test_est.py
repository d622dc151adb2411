import pytest
import torch

from benchmark.training import TrainingAttack
from defenses import DEFENSES, GROUPS


def test_the_group():
    assert GROUPS["dml"] == ("est", "act", "hm", "panum")


def test_the_loss_is_the_cells_own_on_shifted_images_alone(make_member, batch, recorder):
    member = make_member()
    loss = DEFENSES.build("est").loss(member, batch, recorder)
    ((_, images, model, start),) = recorder.calls
    assert torch.equal(images, batch.images)
    assert model is member
    assert start == "uniform"
    shifted = member.embedder(recorder.changed(batch.images))
    assert torch.equal(loss, member.criterion(shifted, batch.labels))


def test_the_attack_raises_the_distance_from_the_clean_embedding(make_member, batch, recorder):
    member = make_member().train()
    for _ in range(30):  # batch norm's running statistics settle: else all embeddings are alike
        member(batch.images)
    before = {key: value.clone() for key, value in member.state_dict().items()}
    DEFENSES.build("est").loss(member, batch, recorder)
    member.load_state_dict(before)
    member.eval()  # as the training attack has it
    ((objective, *_),) = recorder.calls
    other = torch.rand_like(batch.images)
    for value, x, y in zip(objective(other), member(other), member(batch.images), strict=True):
        assert value.item() == pytest.approx(
            sum((x - y).tolist()[i] ** 2 for i in range(len(x))) ** 0.5, rel=1e-4
        )
    assert torch.equal(objective(batch.images), torch.zeros(len(batch.labels)))


def test_a_ball_of_radius_zero_gives_a_loss(make_member, batch):
    # As at the first step of a training that ramps eps up: the images do not move, and the distance is 0.
    member = make_member()
    loss = DEFENSES.build("est").loss(member, batch, TrainingAttack(eps=0.0, steps=2, step=0.5))
    assert torch.isfinite(loss)
    torch.testing.assert_close(loss, member.criterion(member(batch.images), batch.labels))
