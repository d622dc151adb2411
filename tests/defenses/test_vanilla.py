import torch

from defenses import DEFENSES


def test_the_loss_is_that_of_the_clean_batch(make_member, batch, recorder):
    member = make_member()
    loss = DEFENSES.build("vanilla").loss(member, batch, recorder)
    assert torch.equal(loss, member.criterion(member.embedder(batch.images), batch.labels))
    assert recorder.calls == []
