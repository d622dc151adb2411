import pytest
import torch
import torch.nn.functional as F

from defenses import DEFENSES


@pytest.mark.parametrize("weight", [0.3, 1.0, 0.0])
def test_the_loss_by_hand(make_member, batch, recorder, monkeypatch, weight):
    member = make_member().train()
    partner = torch.arange(len(batch.labels)).roll(5)
    monkeypatch.setattr(torch.distributions.Beta, "sample", lambda self, *_: torch.tensor(weight))
    monkeypatch.setattr(torch, "randperm", lambda n, **_: partner)
    loss = DEFENSES.build("mixup").loss(member, batch, recorder)
    mixed = torch.stack(
        [weight * batch.images[i] + (1 - weight) * batch.images[j] for i, j in enumerate(partner.tolist())]
    )
    embeddings = member(mixed)
    first = float(member.criterion(embeddings, batch.labels).detach())
    second = float(member.criterion(embeddings, batch.labels[partner]).detach())
    assert float(loss.detach()) == pytest.approx(weight * first + (1 - weight) * second, rel=1e-5)
    assert recorder.calls == []


@pytest.mark.parametrize(("alpha", "deviation"), [(1.0, 12**-0.5), (50.0, 0.0497), (0.01, 0.495)])
def test_the_weight_follows_the_beta_distribution(make_member, batch, alpha, deviation):
    """The largest are recovered from the mixed images that a stand-in model receives."""
    largest = []

    class Spy(torch.nn.Module):
        def forward(self, images):
            largest.append(float(images.max()))
            return images.flatten(1)

        def loss(self, embeddings, labels):
            return embeddings.sum() * 0

    images = torch.zeros(2, 1, 1, 1)
    images[0] = 1.0
    swapped = type(batch)(images, torch.tensor([0, 1]), torch.arange(2))
    defense = DEFENSES.build(f"mixup[alpha={alpha}]")
    for _ in range(400):
        defense.loss(Spy(), swapped, None)
    # Half of the permutations leave the pair as it is (maximum 1); else it is max(weight, 1 - weight).
    mixed = torch.tensor([s for s in largest if s < 1.0] or [1.0])
    measured = (mixed - 0.5).square().mean().sqrt()
    assert float(measured) == pytest.approx(deviation, rel=0.12)


@pytest.fixture
def fixed_draws(monkeypatch, batch):
    """Lambda 0.3, partners five positions further, and the layer that is asked for."""
    partner = torch.arange(len(batch.labels)).roll(5)
    monkeypatch.setattr(torch.distributions.Beta, "sample", lambda self, *_: torch.tensor(0.3))
    monkeypatch.setattr(torch, "randperm", lambda n, **_: partner)

    def layer(number):
        monkeypatch.setattr(torch, "randint", lambda *_, **__: torch.tensor(number))
        return partner

    return layer


def mixed_loss(member, embeddings, labels, partner, weight=0.3):
    first, second = member.criterion(embeddings, labels), member.criterion(embeddings, labels[partner])
    return weight * first + (1 - weight) * second


@pytest.mark.parametrize(("number", "position"), [(0, 0), (1, 3), (2, 6), (4, 12)])
def test_manifold_mixup_mixes_at_the_drawn_layer(make_member, batch, recorder, fixed_draws, number, position):
    """Compares with the network run in two parts, with the rows mixed one by one in between."""
    partner = fixed_draws(number)
    member = make_member().train()
    loss = DEFENSES.build("mixup[where=hidden]").loss(member, batch, recorder)
    network = member.embedder.network
    rows = network[:position](batch.images)
    rows = torch.stack([0.3 * rows[i] + 0.7 * rows[j] for i, j in enumerate(partner.tolist())])
    embeddings = F.normalize(network[position:](rows))
    torch.testing.assert_close(loss, mixed_loss(member, embeddings, batch.labels, partner))
    assert not any(module._forward_hooks for module in member.modules())
    loss.backward()
    assert all(parameter.grad is not None for parameter in member.parameters())


def test_every_layer_is_drawn(make_member, batch, recorder, monkeypatch):
    asked = []
    draw = torch.randint
    monkeypatch.setattr(torch, "randint", lambda high, size: asked.append(high) or draw(high, size))
    DEFENSES.build("mixup[where=hidden]").loss(make_member().train(), batch, recorder)
    assert asked == [5]


def test_interpolated_adversarial_training_halves(make_member, batch, recorder, fixed_draws):
    partner = fixed_draws(0)
    member = make_member().train()
    loss = DEFENSES.build("mixup[adversarial=true]").loss(member, batch, recorder)
    objective = recorder.only_objective(member, batch.images)
    other = torch.rand_like(batch.images)
    torch.testing.assert_close(objective(other), member.criterion(member(other), batch.labels))  # unmixed
    halves = [
        mixed_loss(member, member(0.3 * x + 0.7 * x[partner]), batch.labels, partner)
        for x in (batch.images, recorder.changed(batch.images))
    ]
    assert float(halves[0].detach()) != float(halves[1].detach())
    torch.testing.assert_close(loss, (halves[0] + halves[1]) / 2)
