import math

import pytest
import torch
import torch.nn.functional as F

from defenses import DEFENSES


def distribution(member, images, temperature):
    proxies = F.normalize(next(member.criterion.parameters()))
    return torch.softmax(F.normalize(member(images)) @ proxies.t() / temperature, dim=1)


def mean_divergence(p, q):
    """KL(p || q), the mean over the rows, by loops."""
    total = 0.0
    for row, other in zip(p.tolist(), q.tolist(), strict=True):
        total += sum(a * math.log(a / b) for a, b in zip(row, other, strict=True))
    return total / len(p)


@pytest.mark.parametrize(("beta", "temperature"), [(6.0, 0.1), (2.0, 0.5)])
def test_the_loss_and_its_gradient_by_hand(make_member, batch, recorder, beta, temperature):
    member = make_member().train()
    defense = DEFENSES.build(f"trades[beta={beta},temperature={temperature}]")
    loss = defense.loss(member, batch, recorder)
    adversarial = recorder.changed(batch.images)
    clean, attacked = (distribution(member, x, temperature) for x in (batch.images, adversarial))
    plain = member.criterion(member(batch.images), batch.labels)
    expected = float(plain.detach()) + beta * mean_divergence(clean, attacked)
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-4)
    # Gradients flow through both terms: nothing in the expression is detached.
    whole = plain + beta * (clean * (clean.log() - attacked.log())).sum(1).mean()
    parameters = list(member.parameters())
    ours, theirs = torch.autograd.grad(loss, parameters), torch.autograd.grad(whole, parameters)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_the_inner_problem(make_member, batch, recorder):
    member = make_member().train()
    for _ in range(30):  # batch norm's running statistics settle, near the batch's own but not on them
        member(torch.rand_like(batch.images))
    before = {key: value.clone() for key, value in member.state_dict().items()}
    DEFENSES.build("trades[temperature=0.3]").loss(member, batch, recorder)
    objective = recorder.only_objective(member, batch.images, start="gaussian")
    member.load_state_dict(before)
    member.eval()  # as the training attack has it
    assert objective(batch.images).item() == pytest.approx(0, abs=1e-6)
    other = torch.rand_like(batch.images)
    expected = mean_divergence(distribution(member, batch.images, 0.3), distribution(member, other, 0.3))
    assert objective(other).item() == pytest.approx(expected, rel=1e-4)
    assert expected > 0.01


def test_without_weight_it_is_vanilla(make_member, batch, recorder):
    member = make_member()
    loss = DEFENSES.build("trades[beta=0]").loss(member, batch, recorder)
    assert torch.equal(loss, member.criterion(member(batch.images), batch.labels))


@pytest.mark.parametrize("loss_name", ["proxy_anchor", "multi_similarity"])
def test_the_embedding_distance_by_hand(make_member, batch, recorder, loss_name):
    member = make_member(loss_name).train()
    defense = DEFENSES.build("trades[beta=3,distance=embedding]")
    loss = defense.loss(member, batch, recorder)
    clean, attacked = member(batch.images), member(recorder.changed(batch.images))
    plain = member.criterion(clean, batch.labels)
    whole = plain + 3 * sum(
        1 - a @ b / (a.norm() * b.norm()) for a, b in zip(clean, attacked, strict=True)
    ) / len(clean)
    torch.testing.assert_close(loss, whole, rtol=1e-4, atol=1e-4)
    assert float(whole.detach()) - float(plain.detach()) > 1e-4
    # Gradients flow through both sides of the outer term.
    parameters = list(member.embedder.parameters())
    ours, theirs = torch.autograd.grad(loss, parameters), torch.autograd.grad(whole, parameters)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_the_inner_problem_of_the_embedding_distance(make_member, batch, recorder):
    member = make_member().train()
    DEFENSES.build("trades[distance=embedding]").loss(member, batch, recorder)
    objective = recorder.only_objective(member, batch.images, start="gaussian")
    first, second = (torch.rand_like(batch.images).requires_grad_(True) for _ in range(2))
    value = objective(first)
    (gradient,) = torch.autograd.grad(value, first)
    assert float(gradient.abs().max()) > 0
    assert 0 < float(value.detach()) <= 2
    assert float(value.detach()) != float(objective(second).detach())


def test_only_the_divergence_needs_proxies():
    assert DEFENSES.build("trades").needs_proxies is True
    assert DEFENSES.build("trades[distance=embedding]").needs_proxies is False
