import pytest
import torch

from benchmark.training import TrainingAttack
from defenses import DEFENSES


def test_the_loss_is_the_training_loss_on_shifted_images_only(make_member, batch, recorder):
    member = make_member()
    loss = DEFENSES.build("est").loss(member, batch, recorder)
    shifted = member.embedder(recorder.changed(batch.images))
    assert torch.equal(loss, member.criterion(shifted, batch.labels))


def test_the_attack_raises_the_distance_from_the_clean_embedding(attacked, batch, recorder, euclidean):
    member = attacked("est")
    objective = recorder.only_objective(member, batch.images)
    other = torch.rand_like(batch.images)
    expected = [euclidean(x, y) for x, y in zip(member(other), member(batch.images), strict=True)]
    assert objective(other).tolist() == pytest.approx(expected, rel=1e-4)
    assert torch.equal(objective(batch.images), torch.zeros(len(batch.labels)))


def test_a_ball_of_radius_zero_gives_a_loss(make_member, batch):
    # As in the first step of a training that ramps eps up: the images do not move, and the distance is 0.
    member = make_member()
    loss = DEFENSES.build("est").loss(member, batch, TrainingAttack(eps=0.0, steps=2, step=0.5))
    assert torch.isfinite(loss)
    torch.testing.assert_close(loss, member.criterion(member(batch.images), batch.labels))
