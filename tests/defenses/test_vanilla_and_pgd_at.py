import torch

from defenses import DEFENSES


def test_vanilla_is_the_loss_of_the_clean_batch(make_member, batch, recorder):
    member = make_member()
    loss = DEFENSES.build("vanilla").loss(member, batch, recorder)
    assert torch.equal(loss, member.criterion(member.embedder(batch.images), batch.labels))
    assert recorder.calls == []


def test_pgd_at_trains_on_what_maximises_the_loss_itself(make_member, batch, recorder):
    member = make_member()
    loss = DEFENSES.build("pgd_at").loss(member, batch, recorder)
    ((objective, images, model, start),) = recorder.calls
    assert torch.equal(images, batch.images)
    assert model is member
    assert start == "uniform"
    other = torch.rand_like(batch.images)
    assert torch.equal(objective(other), member.criterion(member.embedder(other), batch.labels))
    adversarial = recorder.changed(batch.images)
    assert torch.equal(loss, member.criterion(member.embedder(adversarial), batch.labels))
