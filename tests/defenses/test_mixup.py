import pytest
import torch

from defenses import DEFENSES


@pytest.mark.parametrize("share", [0.3, 1.0, 0.0])
def test_the_loss_by_hand(make_member, batch, recorder, monkeypatch, share):
    member = make_member().train()
    partner = torch.arange(len(batch.labels)).roll(5)
    monkeypatch.setattr(torch.distributions.Beta, "sample", lambda self, *_: torch.tensor(share))
    monkeypatch.setattr(torch, "randperm", lambda n, **_: partner)
    loss = DEFENSES.build("mixup").loss(member, batch, recorder)
    mixed = torch.stack(
        [share * batch.images[i] + (1 - share) * batch.images[j] for i, j in enumerate(partner.tolist())]
    )
    embeddings = member(mixed)
    first = float(member.criterion(embeddings, batch.labels).detach())
    second = float(member.criterion(embeddings, batch.labels[partner]).detach())
    assert float(loss.detach()) == pytest.approx(share * first + (1 - share) * second, rel=1e-5)
    assert recorder.calls == []


@pytest.mark.parametrize(("alpha", "deviation"), [(1.0, 12**-0.5), (50.0, 0.0497), (0.01, 0.495)])
def test_the_share_follows_the_beta_distribution(make_member, batch, alpha, deviation):
    """Recovered from the mixed images of a model that is not there."""
    shares = []

    class Spy(torch.nn.Module):
        def forward(self, images):
            shares.append(float(images.max()))
            return images.flatten(1)

        def loss(self, embeddings, labels):
            return embeddings.sum() * 0

    images = torch.zeros(2, 1, 1, 1)
    images[0] = 1.0
    swapped = type(batch)(images, torch.tensor([0, 1]), torch.arange(2))
    defense = DEFENSES.build(f"mixup[alpha={alpha}]")
    for _ in range(400):
        defense.loss(Spy(), swapped, None)
    # Half of the permutations leave the pair as it is (maximum 1); else the maximum is max(share, 1 - share).
    mixed = torch.tensor([s for s in shares if s < 1.0] or [1.0])
    spread = (mixed - 0.5).square().mean().sqrt()
    assert float(spread) == pytest.approx(deviation, rel=0.12)
