import math
from dataclasses import replace

import pytest
import torch

from defenses import DEFENSES
from defenses.triplets import Triplets, distances, hardness, mine, triplet_loss


def euclidean(x, y):
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(x.tolist(), y.tolist(), strict=True)))


def slow_triplet_loss(anchors, positives, negatives, margin):
    total = 0.0
    for a, p, n in zip(anchors, positives, negatives, strict=True):
        total += max(0.0, euclidean(a, p) - euclidean(a, n) + margin)
    return total / len(anchors)


@pytest.fixture
def unit():
    vectors = torch.randn(24, 8, generator=torch.Generator().manual_seed(1))
    return vectors / vectors.norm(dim=1, keepdim=True)


def test_the_triplet_loss_by_loops(unit):
    triplets = Triplets(*unit.chunk(3))
    value = triplet_loss(triplets, 0.2).item()
    assert value == pytest.approx(slow_triplet_loss(*unit.chunk(3), 0.2), rel=1e-5)
    for h, a, p, n in zip(hardness(triplets).tolist(), *unit.chunk(3), strict=True):
        assert h == pytest.approx(euclidean(a, p) - euclidean(a, n), abs=1e-5)


def test_equal_vectors_have_a_gradient_of_zero(unit):
    moving = unit.clone().requires_grad_(True)
    distances(moving, unit).sum().backward()
    assert torch.equal(moving.grad, torch.zeros_like(unit))


@pytest.mark.parametrize("mining", ["random", "semihard", "hard"])
def test_mining_takes_one_wanted_triplet_of_every_anchor(mining, unit):
    labels = torch.tensor([0, 1, 2, 3, 4, 5] * 3 + [6, 7, 8, 9, 10, 11])
    wanted = {"random": lambda h: True, "semihard": lambda h: -0.2 <= h < 0, "hard": lambda h: h >= 0}[mining]
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
            possible = [wanted(euclidean(unit[a], unit[i]) - euclidean(unit[a], unit[j])) for i, j in others]
            ours = euclidean(unit[a], unit[p]) - euclidean(unit[a], unit[n])
            assert wanted(ours) or not any(possible)
    draws = {tuple(mine(labels, mining, 0.2, unit).negative.tolist()) for _ in range(5)}
    assert len(draws) == 5


def test_no_triplet_where_all_labels_differ_or_all_are_one(unit):
    assert len(mine(torch.arange(24), "random", 0.2)) == 0
    assert len(mine(torch.arange(24), "hard", 0.2, unit)) == 0
    assert len(mine(torch.zeros(24, dtype=torch.long), "hard", 0.2, unit)) == 0


@pytest.mark.parametrize("name", ["act", "hm", "panum", "act[base=none]"])
def test_a_batch_without_triplets_gives_the_cells_loss(name, make_member, batch, recorder, images):
    defense = DEFENSES.build(name)
    member = defense.build(make_member, images.labels)
    lonely = replace(batch, images=images.images[::8], labels=torch.arange(12))
    loss = defense.loss(member, lonely, recorder)
    assert torch.equal(loss, member.criterion(member(lonely.images), lonely.labels))
    assert recorder.calls == []


@pytest.fixture
def rows(batch):
    torch.manual_seed(11)
    return mine(batch.labels, "random", 0.2)


def test_positives_and_negatives_are_perturbed_and_drawn_together(make_member, batch, recorder, rows):
    member = make_member().train()
    for _ in range(30):
        member(batch.images)
    before = {key: value.clone() for key, value in member.state_dict().items()}
    torch.manual_seed(11)  # as for the fixture
    DEFENSES.build("act").loss(member, batch, recorder)
    ((objective, images, model, start),) = recorder.calls
    assert (model, start) == (member, "uniform")
    assert torch.equal(images, torch.cat([batch.images[rows.positive], batch.images[rows.negative]]))
    member.load_state_dict(before)
    member.eval()
    other = torch.rand_like(images)
    positives, negatives = member(other).chunk(2)
    for value, p, n in zip(objective(other).tolist(), positives, negatives, strict=True):
        assert value == pytest.approx(-euclidean(p, n), rel=1e-4)


@pytest.mark.parametrize(
    ("base", "weight", "margin"), [("none", 10, 0.2), ("clean", 3, 0.5), ("adversarial", 2, 0.3)]
)
def test_the_loss_by_loops(make_member, batch, recorder, rows, base, weight, margin):
    member = make_member().train()
    for _ in range(30):  # batch norm's running statistics settle: else all embeddings are alike
        member(batch.images)
    member.eval()
    defense = DEFENSES.build(f"act[base={base},weight={weight},margin={margin}]")
    torch.manual_seed(11)  # as for the fixture
    loss = defense.loss(member, batch, recorder).item()
    anchors = member(batch.images[rows.anchor])
    positives = member(recorder.changed(batch.images[rows.positive]))
    negatives = member(recorder.changed(batch.images[rows.negative]))
    term = slow_triplet_loss(anchors, positives, negatives, margin)
    every = torch.cat([batch.labels[rows.anchor], batch.labels[rows.positive], batch.labels[rows.negative]])
    expected = {
        "none": term,
        "clean": member.criterion(member(batch.images), batch.labels).item() + weight * term,
        "adversarial": member.criterion(torch.cat([anchors, positives, negatives]), every).item()
        + weight * term,
    }[base]
    assert loss == pytest.approx(expected, rel=1e-4)
    assert term > 0.01
