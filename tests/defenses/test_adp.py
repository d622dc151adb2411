import numpy as np
import pytest
import torch

from benchmark.core.errors import UsageError
from benchmark.models import Ensemble
from defenses import DEFENSES
from defenses.adp import entropy, log_ensemble_diversity


def probabilities(members=3, count=5, classes=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.softmax(
        2 * torch.randn(members, count, classes, generator=generator, dtype=torch.float64), dim=2
    )


def diversity_by_hand(predictions, label):
    """log det(M M^T + 1e-6 I) for one image; predictions of shape (members, classes)."""
    rows = np.delete(predictions, label, axis=1)
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return np.log(np.linalg.det(rows @ rows.T + 1e-6 * np.eye(len(rows))))


def test_entropy():
    p = torch.tensor([[0.25, 0.25, 0.25, 0.25], [1.0, 0.0, 0.0, 0.0], [0.5, 0.25, 0.25, 0.0]])
    assert entropy(p).tolist() == pytest.approx([np.log(4), 0, 1.5 * np.log(2)], abs=1e-6)


@pytest.mark.parametrize("members", [2, 3, 5])
def test_diversity_by_hand(members):
    p = probabilities(members)
    labels = torch.tensor([0, 5, 2, 2, 1])
    expected = [diversity_by_hand(p[:, i].numpy(), int(label)) for i, label in enumerate(labels)]
    assert log_ensemble_diversity(p, labels).tolist() == pytest.approx(expected)


def test_diversity_is_highest_for_members_that_err_differently_and_lowest_for_members_that_agree():
    labels = torch.tensor([0])
    apart = torch.tensor([[[0.4, 0.6, 0.0, 0.0]], [[0.4, 0.0, 0.6, 0.0]], [[0.4, 0.0, 0.0, 0.6]]])
    alike = apart[:1].repeat(3, 1, 1)
    assert float(log_ensemble_diversity(apart, labels)) == pytest.approx(0, abs=1e-4)
    assert float(log_ensemble_diversity(alike, labels)) == pytest.approx(
        np.log(3) + 2 * np.log(1e-6), abs=0.5
    )


@pytest.mark.parametrize("members", [2, 3, 10])
def test_diversity_is_finite_for_members_that_nearly_agree(members):
    for seed in range(20):
        p = probabilities(1, 64, 40, seed).float().repeat(members, 1, 1)
        p = (p + 1e-8 * torch.rand(p.shape)).requires_grad_(True)
        value = log_ensemble_diversity(p, torch.arange(64) % 40)
        assert torch.isfinite(value).all()
        assert torch.isfinite(torch.autograd.grad(value.sum(), p)[0]).all()


@pytest.mark.parametrize(("alpha", "beta"), [(2.0, 0.5), (0.0, 0.5), (3.0, 0.0)])
def test_the_loss_by_hand(make_member, batch, recorder, alpha, beta):
    defense = DEFENSES.build(f"adp[alpha={alpha},beta={beta},temperature=0.3,members=4]")
    ensemble = defense.build(make_member, batch.labels).train()
    assert isinstance(ensemble, Ensemble)
    assert len(ensemble.members) == 4
    loss = float(defense.loss(ensemble, batch, recorder).detach())
    assert recorder.calls == []
    expected, predictions = 0.0, []
    with torch.no_grad():
        for member in ensemble.members:
            embeddings = member(batch.images)
            expected += float(member.criterion(embeddings, batch.labels))
            predictions.append(torch.softmax(member.class_cosines(embeddings).double() / 0.3, dim=1).numpy())
    predictions = np.stack(predictions)
    mean = predictions.mean(0)
    expected -= alpha * float(np.mean([-(row * np.log(row)).sum() for row in mean]))
    expected -= beta * float(
        np.mean([diversity_by_hand(predictions[:, i], int(y)) for i, y in enumerate(batch.labels)])
    )
    assert loss == pytest.approx(expected, rel=1e-4)


def test_more_members_than_wrong_classes_have_no_volume(make_member):
    labels = torch.arange(12) % 4
    DEFENSES.build("adp[members=3]").build(make_member, labels)
    with pytest.raises(
        UsageError, match=r"adp\[members=4\] needs more than 4 training classes, not 4"
    ) as caught:
        DEFENSES.build("adp[members=4]").build(make_member, labels)
    assert len(str(caught.value).splitlines()) == 1


def test_diversity_with_numbers():
    """Two members, three classes, true class 0: wrong-class rows (3, 4) / 5 and (4, 3) / 5."""
    p = torch.tensor([[[0.3, 0.3, 0.4]], [[0.3, 0.4, 0.3]]], dtype=torch.float64)
    # Their product is 24 / 25, so the determinant is 1 - 0.9216 = 0.0784, the jitter aside.
    value = log_ensemble_diversity(p, torch.tensor([0]))
    assert float(value) == pytest.approx(np.log((1 + 1e-6) ** 2 - 0.9216))
    assert float(value) == pytest.approx(np.log(0.0784), abs=1e-4)
    # With true class 1 the rows are (3, 4) / 5 and (1, 1) / root 2, whose product is 7 / (5 root 2).
    assert float(log_ensemble_diversity(p, torch.tensor([1]))) == pytest.approx(np.log(0.02), abs=3e-4)


def test_diversity_keeps_its_precision_under_autocast():
    p = probabilities(3, 4, 8).float()
    labels = torch.tensor([0, 1, 2, 3])
    expected = log_ensemble_diversity(p, labels)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(log_ensemble_diversity(p, labels), expected)


def test_adversarial_is_the_mean_of_the_objective_on_clean_and_on_adversarial_images(
    make_member, batch, recorder
):
    defense = DEFENSES.build("adp[adversarial=true,members=2]")
    plain = DEFENSES.build("adp[members=2]")
    ensemble = defense.build(make_member, batch.labels).train()
    loss = defense.loss(ensemble, batch, recorder)
    objective = recorder.only_objective(ensemble, batch.images)
    other = torch.rand_like(batch.images)
    # The attack maximizes the whole objective, regularizers included.
    for candidates in (other, batch.images):
        on = type(batch)(candidates, batch.labels, batch.index)
        torch.testing.assert_close(objective(candidates), plain.loss(ensemble, on, None))
    brighter = type(batch)(recorder.changed(batch.images), batch.labels, batch.index)
    halves = [float(plain.loss(ensemble, part, None).detach()) for part in (batch, brighter)]
    assert float(loss.detach()) == pytest.approx(np.mean(halves), rel=1e-5)
    assert halves[0] != pytest.approx(halves[1], rel=1e-4)
