import torch

from defenses import DEFENSES


def test_trains_on_images_that_maximize_the_loss_itself(make_member, batch, recorder):
    member = make_member()
    loss = DEFENSES.build("pgd_at").loss(member, batch, recorder)
    objective = recorder.only_objective(member, batch.images)
    other = torch.rand_like(batch.images)
    assert torch.equal(objective(other), member.criterion(member.embedder(other), batch.labels))
    adversarial = recorder.changed(batch.images)
    assert torch.equal(loss, member.criterion(member.embedder(adversarial), batch.labels))
