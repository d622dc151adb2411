from dataclasses import replace

import pytest
import torch

from defenses import DEFENSES
from defenses.triplets import Triplets, distances, hardness, mine, triplet_loss


@pytest.fixture
def unit():
    vectors = torch.randn(24, 8, generator=torch.Generator().manual_seed(1))
    return vectors / vectors.norm(dim=1, keepdim=True)


def test_hardness_and_triplet_loss_by_loops(unit, hardness_by_loops, triplet_loss_by_loops):
    triplets = Triplets(*unit.chunk(3))
    assert hardness(triplets).tolist() == pytest.approx(hardness_by_loops(*unit.chunk(3)), abs=1e-5)
    expected = triplet_loss_by_loops(*unit.chunk(3), 0.2)
    assert triplet_loss(triplets, 0.2).item() == pytest.approx(expected, rel=1e-5)


def test_equal_vectors_have_a_gradient_of_zero(unit):
    moving = unit.clone().requires_grad_(True)
    distances(moving, unit).sum().backward()
    assert torch.equal(moving.grad, torch.zeros_like(unit))


@pytest.mark.parametrize("mining", ["random", "semihard", "hard"])
def test_mining_takes_one_allowed_triplet_of_every_anchor(mining, unit, euclidean):
    labels = torch.tensor([0, 1, 2, 3, 4, 5] * 3 + [6, 7, 8, 9, 10, 11])
    allowed = {"random": lambda h: True, "semihard": lambda h: -0.2 <= h < 0, "hard": lambda h: h >= 0}[
        mining
    ]
    for seed in range(3):
        torch.manual_seed(seed)
        rows = mine(labels, mining, 0.2, unit)
        assert rows.anchor.tolist() == list(range(18))  # those with a positive, in order
        for a, p, n in zip(rows.anchor.tolist(), rows.positive.tolist(), rows.negative.tolist(), strict=True):
            assert labels[a] == labels[p] != labels[n]
            assert a != p
            others = [
                (i, j) for i in range(24) for j in range(24) if labels[i] == labels[a] != labels[j] and i != a
            ]
            possible = [allowed(euclidean(unit[a], unit[i]) - euclidean(unit[a], unit[j])) for i, j in others]
            mined = euclidean(unit[a], unit[p]) - euclidean(unit[a], unit[n])
            assert allowed(mined) or not any(possible)
    draws = {tuple(mine(labels, mining, 0.2, unit).negative.tolist()) for _ in range(5)}
    assert len(draws) == 5


def test_no_triplet_where_all_labels_differ_or_all_are_equal(unit):
    assert len(mine(torch.arange(24), "random", 0.2)) == 0
    assert len(mine(torch.arange(24), "hard", 0.2, unit)) == 0
    assert len(mine(torch.zeros(24, dtype=torch.long), "hard", 0.2, unit)) == 0


@pytest.mark.parametrize("name", ["act", "hm", "panum", "act[base=none]"])
def test_a_batch_without_triplets_gives_the_training_loss(name, make_member, batch, recorder, images):
    defense = DEFENSES.build(name)
    member = defense.build(make_member, images.labels)
    without_positives = replace(batch, images=images.images[::8], labels=torch.arange(12))
    loss = defense.loss(member, without_positives, recorder)
    expected = member.criterion(member(without_positives.images), without_positives.labels)
    assert torch.equal(loss, expected)
    assert recorder.calls == []
