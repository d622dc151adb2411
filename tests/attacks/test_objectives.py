import math
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from attacks import ATTACKS, OBJECTIVES, Problem
from benchmark.core.embedder import Embedder
from benchmark.metrics import retrieve, verification_pairs

LABELS = torch.tensor([0, 1, 2, 0, 1, 1, 2, 2, 2, 3])  # class 3 has a single image
EVERY = torch.arange(len(LABELS))


def problem_of(clean, labels=LABELS):
    problem = Problem(
        Embedder(), torch.zeros(len(labels), 1, 1, 1), labels, torch.arange(len(labels)), "linf", 0.1
    )
    problem.clean = F.normalize(clean)
    return problem


@pytest.fixture
def problem():
    return problem_of(torch.randn(len(LABELS), 5, dtype=torch.float64))


@pytest.fixture
def moved():
    return F.normalize(torch.randn(len(LABELS), 5, dtype=torch.float64))


def centroid(problem, label):
    mean = problem.clean[problem.labels == label].numpy().mean(0)
    return mean / np.linalg.norm(mean)


def bound(name, problem):
    """The score; one that looks at the attacked pool has seen some images move."""
    objective = OBJECTIVES.build(name)
    score = objective.bind(problem)
    if objective.pooled:
        elsewhere = F.normalize(torch.randn(len(LABELS), 5, dtype=torch.float64))
        score.observe(EVERY, elsewhere)
    return score


# A gradient that is softer than the value on purpose is checked where it is hard.
HARD = {"neighbour": "neighbour[sharpness=1000000]"}
DIFFERENTIABLE = [HARD.get(name, name) for name in OBJECTIVES.names()]


@pytest.mark.parametrize("name", [*DIFFERENTIABLE, "gallery_away[temperature=0.3]"])
def test_gradients_agree_with_finite_differences(name, problem, moved):
    index = torch.tensor([7, 2, 9, 0])
    for score in (OBJECTIVES.build(name).bind(problem), bound(name, problem)):
        assert score(moved[index], index).shape == (4,)
        z = moved[index].requires_grad_(True)
        assert torch.autograd.gradcheck(lambda z, score=score: score(z, index), z)
        (gradient,) = torch.autograd.grad(score(z, index).sum(), z)
        assert (gradient != 0).any(1).all()  # the check says nothing about a score that does not move


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_an_image_is_scored_alone_and_in_any_batch(name, problem, moved):
    score = bound(name, problem)
    whole = score(moved, EVERY)
    for index in (torch.tensor([4]), torch.tensor([9, 1, 1, 3])):
        torch.testing.assert_close(score(moved[index], index), whole[index])


def test_centroids_are_directions_of_class_means(problem):
    expected = np.stack([centroid(problem, label) for label in range(4)])
    np.testing.assert_allclose(problem.centroids.numpy(), expected)


def test_shift(problem, moved):
    score = OBJECTIVES.build("shift").bind(problem)
    expected = [1 - float(z @ c) for z, c in zip(moved, problem.clean, strict=True)]
    assert score(moved, EVERY).tolist() == pytest.approx(expected)
    clean = problem.clean.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(score(F.normalize(clean), EVERY).sum(), clean)
    assert gradient.abs().max() < 1e-12  # hence `flat_at_clean`
    assert OBJECTIVES.get("shift").flat_at_clean


def test_own(problem, moved):
    expected = [-float(z.numpy() @ centroid(problem, y)) for z, y in zip(moved, LABELS.tolist(), strict=True)]
    assert OBJECTIVES.build("own").bind(problem)(moved, EVERY).tolist() == pytest.approx(expected)


def test_centroid_ce(problem, moved):
    score = OBJECTIVES.build("centroid_ce[scale=7]").bind(problem)
    for i, y in enumerate(LABELS.tolist()):
        logits = [
            7 / problem.cosine_std * float(moved[i].numpy() @ centroid(problem, label)) for label in range(4)
        ]
        expected = -logits[y] + math.log(sum(map(math.exp, logits)))
        assert float(score(moved, EVERY)[i]) == pytest.approx(expected)


def neighbour_by_hand(problem, z, i):
    others = [
        (float(z @ c), int(y))
        for j, (c, y) in enumerate(zip(problem.clean, problem.labels, strict=True))
        if j != i
    ]
    own = int(problem.labels[i])
    negative = max(s for s, y in others if y != own)
    positive = max((s for s, y in others if y == own), default=-2.0)
    return negative - positive


def test_neighbour(problem, moved):
    score = OBJECTIVES.build("neighbour").bind(problem)
    expected = [neighbour_by_hand(problem, z, i) for i, z in enumerate(moved)]
    assert score(moved, EVERY).tolist() == pytest.approx(expected)


def test_neighbour_leaves_out_itself_but_not_its_double():
    labels = torch.tensor([0, 0, 1, 1])
    problem = problem_of(torch.tensor([[1.0, 0], [1, 0], [0, 1], [1, 1]]), labels)
    score = OBJECTIVES.build("neighbour").bind(problem)
    values = score(problem.clean, torch.arange(4))
    # 0 and 1 are the same point, so each is the other's positive, at cosine 1.
    root = math.sqrt(0.5)
    assert values.tolist() == pytest.approx([root - 1, root - 1, 0 - root, root - root], abs=1e-6)


def test_neighbour_of_an_image_alone_in_its_class_is_finite_and_pulls_to_the_negatives(problem, moved):
    score = OBJECTIVES.build(HARD["neighbour"]).bind(problem)
    z = moved[9:].clone().requires_grad_(True)
    value = score(z, torch.tensor([9]))
    assert 1 <= value.item() <= 3
    (gradient,) = torch.autograd.grad(value.sum(), z)
    nearest = (problem.clean[:9] @ moved[9]).argmax()
    torch.testing.assert_close(gradient[0], problem.clean[nearest])


def test_neighbour_follows_a_soft_maximum(problem, moved):
    score = OBJECTIVES.build("neighbour[sharpness=8]").bind(problem)
    for i in range(9):  # the tenth is alone in its class
        z = moved[i : i + 1].clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(score(z, EVERY[i : i + 1]).sum(), z)
        weights = torch.exp(8 / problem.cosine_std * problem.clean @ moved[i])
        negative = [j for j in range(10) if LABELS[j] != LABELS[i]]
        positive = [j for j in range(10) if LABELS[j] == LABELS[i] and j != i]
        up, down = ((weights[of] @ problem.clean[of]) / weights[of].sum() for of in (negative, positive))
        torch.testing.assert_close(gradient[0], up - down, rtol=0, atol=0.01)


class Cone(Embedder):
    """The same ranking as another model's, in a cone a hundred times as narrow."""

    def __init__(self, inner, dim):
        super().__init__()
        self.inner = inner
        self.axis = torch.eye(dim + 1, dtype=torch.float64)[-1] * 100

    def forward(self, images):
        embeddings = self.inner(images)
        return F.normalize(torch.cat([embeddings, embeddings.new_zeros(len(embeddings), 1)], 1) + self.axis)


@pytest.mark.parametrize("name", ["neighbour", "centroid_ce", "information", "recluster", "gallery_away"])
def test_embeddings_in_a_narrow_cone_meet_the_same_attack(linear, pool, name):
    attacked = []
    for embedder in (linear, Cone(linear, 6)):
        problem = Problem(embedder, pool.images, pool.labels, pool.ids, "linf", 0.1)
        attacked.append(ATTACKS.build(f"bim[objective={name},steps=8]").run(problem).images)
    delta, other = (images - pool.images for images in attacked)
    assert float((delta * other).sum() / (delta.norm() * other.norm())) > 0.9


def test_neighbour_is_positive_exactly_where_recall_fails(problem, moved):
    score = OBJECTIVES.build("neighbour").bind(problem)
    outcomes = retrieve(moved, problem.clean, LABELS, LABELS, EVERY, EVERY)
    assert outcomes.left_out == 1
    assert torch.equal(outcomes.recall[1], score(moved, EVERY)[outcomes.kept] < 0)


def pool_by_hand(bank, labels, z, i, neighbours):
    own = [float(z @ b) for j, b in enumerate(bank) if labels[j] == labels[i] and j != i]
    others = sorted((float(z @ b) for j, b in enumerate(bank) if labels[j] != labels[i]), reverse=True)[
        :neighbours
    ]
    return sum(others) / len(others) - (sum(own) / len(own) if own else 0.0)


@pytest.mark.parametrize("neighbours", [1, 3, 5])
def test_pool_looks_at_the_latest_embeddings(problem, moved, neighbours):
    score = OBJECTIVES.build(f"pool[neighbours={neighbours}]").bind(problem)
    bank = problem.clean.clone()
    for observed in ([], [4, 0, 9], range(10)):
        score.observe(torch.tensor(list(observed), dtype=torch.long), moved[list(observed)])
        bank[list(observed)] = moved[list(observed)]
        expected = [pool_by_hand(bank, LABELS, z, i, neighbours) for i, z in enumerate(problem.clean)]
        assert score(problem.clean, EVERY).tolist() == pytest.approx(expected)


def test_pool_takes_as_many_neighbours_as_every_class_has(problem, moved):
    score = OBJECTIVES.build("pool[neighbours=100]").bind(problem)
    expected = [pool_by_hand(problem.clean, LABELS, z, i, 10 - 4) for i, z in enumerate(moved)]
    assert score(moved, EVERY).tolist() == pytest.approx(expected)


def test_what_a_pool_score_observes_stays_its_own(problem, moved):
    before = problem.clean.clone()
    score = OBJECTIVES.build("pool").bind(problem)
    score.observe(EVERY, moved.requires_grad_(True))
    assert torch.equal(problem.clean, before)
    assert not score.bank.requires_grad
    assert not torch.equal(OBJECTIVES.build("pool").bind(problem).bank, score.bank)


@pytest.mark.parametrize("spread", [1, 2, 3, 50])
def test_scatter_deals_the_nearest_classes_in_turn(problem, moved, spread):
    score = OBJECTIVES.build(f"scatter[spread={spread}]").bind(problem)
    centroids = [centroid(problem, label) for label in range(4)]
    dealt = dict.fromkeys(range(4), 0)
    for i, y in enumerate(LABELS.tolist()):
        nearest = sorted(set(range(4)) - {y}, key=lambda c: -float(centroids[c] @ centroids[y]))[:spread]
        target = nearest[dealt[y] % len(nearest)]
        dealt[y] += 1
        expected = float(moved[i].numpy() @ (centroids[target] - centroids[y]))
        assert float(score(moved, EVERY)[i]) == pytest.approx(expected)


def test_scatter_does_not_move_a_class_as_a_block():
    labels = torch.arange(5).repeat_interleave(7)
    problem = problem_of(torch.randn(35, 8), labels)
    score = OBJECTIVES.build("scatter[spread=3]").bind(problem)
    z = torch.zeros(35, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(score(z, torch.arange(35)).sum(), z)
    directions = gradient + problem.centroids[labels]
    for label in range(5):
        targets = (directions[labels == label] @ problem.centroids.t()).argmax(1).tolist()
        sizes = sorted(targets.count(t) for t in set(targets))
        assert label not in targets
        assert sizes == [2, 2, 3]
        assert all(a != b for a, b in pairwise(targets))


def test_centroid(problem, moved):
    score = OBJECTIVES.build("centroid").bind(problem)
    for i, y in enumerate(LABELS.tolist()):
        cosines = [float(moved[i].numpy() @ centroid(problem, label)) for label in range(4)]
        expected = max(c for label, c in enumerate(cosines) if label != y) - cosines[y]
        assert float(score(moved, EVERY)[i]) == pytest.approx(expected)


def test_centroid_looks_for_the_nearest_class_anew():
    labels = torch.tensor([0, 1, 2])
    score = OBJECTIVES.build("centroid").bind(problem_of(torch.eye(3), labels))
    for target in (1, 2):
        z = (torch.eye(3)[0] + 0.1 * torch.eye(3)[target]).unsqueeze(0).requires_grad_(True)
        (gradient,) = torch.autograd.grad(score(z, torch.tensor([0])).sum(), z)
        assert gradient[0].tolist() == [-1.0] + [1.0 * (axis == target) for axis in (1, 2)]


def test_collapse(problem, moved):
    mean = problem.clean.numpy().mean(0)
    expected = moved.numpy() @ mean / np.linalg.norm(mean)
    score = OBJECTIVES.build("collapse").bind(problem)
    assert score(moved, EVERY).tolist() == pytest.approx(expected.tolist())
    assert score(problem.clean[:1], EVERY[:1]) == score(problem.clean[:1], EVERY[9:])  # no labels


def test_pair_looks_at_the_partners_of_verification(problem, moved):
    problem.ids = torch.randperm(1000)[: len(LABELS)]
    pairs = verification_pairs(LABELS, problem.ids)
    assert 0 < int(pairs.same.sum()) < len(LABELS)
    expected = []
    for i, z in enumerate(moved):
        cosine = float(z @ problem.clean[pairs.partner[i]])
        expected.append(-cosine if LABELS[pairs.partner[i]] == LABELS[i] else cosine)
    assert OBJECTIVES.build("pair").bind(problem)(moved, EVERY).tolist() == pytest.approx(expected)


def failures(problem, gallery):
    """How many clean queries fail, those without a positive left out."""
    outcomes = retrieve(problem.clean, gallery, LABELS, LABELS, EVERY, EVERY)
    return int((~outcomes.recall[1]).sum())


def test_gallery_away_counts_the_queries_that_fail(problem, moved):
    """Cold, its differences are those in the number of failures when the image alone is elsewhere."""
    score = OBJECTIVES.build("gallery_away[temperature=0.0001]").bind(problem)
    for bank in (problem.clean, moved):
        score.observe(EVERY, bank)
        places = F.normalize(torch.randn(40, 5, dtype=torch.float64))
        differences = set()
        for i in range(len(LABELS)):
            index = torch.full((len(places),), i)
            counts = []
            for place in places:
                gallery = bank.clone()
                gallery[i] = place
                counts.append(failures(problem, gallery))
            scores = score(places, index)
            assert (scores - scores[0]).round().tolist() == [count - counts[0] for count in counts]
            differences |= {count - counts[0] for count in counts}
        assert len(differences) > 3


@pytest.mark.parametrize("temperature", [0.02, 0.5])
def test_gallery_away_by_hand(problem, moved, temperature):
    score = OBJECTIVES.build(f"gallery_away[temperature={temperature}]").bind(problem)
    temperature *= problem.cosine_std
    score.observe(EVERY[:6], moved[:6])
    bank = torch.cat([moved[:6], problem.clean[6:]])
    z = F.normalize(torch.randn(len(LABELS), 5, dtype=torch.float64))

    def smooth(*values):
        return temperature * math.log(sum(math.exp(value / temperature) for value in values))

    def sigmoid(margin):
        return 1 / (1 + math.exp(-margin / temperature)) if margin > -700 * temperature else 0.0

    for i, y in enumerate(LABELS.tolist()):
        expected = 0.0
        for q, label in enumerate(LABELS.tolist()):
            if q == i:
                continue
            cosines = problem.clean[q] @ bank.t()
            others = [j for j in range(len(LABELS)) if j not in (i, q)]
            positives = [float(cosines[j]) for j in others if LABELS[j] == label]
            negatives = [float(cosines[j]) for j in others if LABELS[j] != label]
            mine = float(problem.clean[q] @ z[i])
            if label == y:
                expected -= sigmoid(smooth(mine, *sorted(positives)[-1:]) - max(negatives))
            else:
                margin = smooth(mine, max(negatives)) - max(positives) if positives else math.inf
                expected += sigmoid(margin)
        assert float(score(z, EVERY)[i]) == pytest.approx(expected, abs=1e-9)


def test_what_a_gallery_score_observes_stays_its_own(problem, moved):
    before = problem.clean.clone()
    score = OBJECTIVES.build("gallery_away").bind(problem)
    first = score(moved, EVERY)
    score.observe(EVERY, moved.requires_grad_(True))
    assert torch.equal(problem.clean, before)
    assert not score.bank.requires_grad
    assert not torch.equal(score(moved.detach(), EVERY), first)
    assert torch.equal(OBJECTIVES.build("gallery_away").bind(problem)(moved, EVERY), first)


def test_gallery_away_does_not_depend_on_the_size_of_a_chunk(problem, moved, monkeypatch):
    score = OBJECTIVES.build("gallery_away").bind(problem)
    expected = score(moved, EVERY)
    monkeypatch.setattr("attacks.objectives.gallery_away.CHUNK", 3)
    # Products of other shapes may sum in another order.
    found = OBJECTIVES.build("gallery_away").bind(problem)(moved, EVERY)
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=0)


@pytest.mark.parametrize("some", [False, True])
def test_the_objectives_of_scenarios_do_what_they_are_for(trained, make_problem, pool, some):
    """Each lowers its own scenario's figure, and more than the other does."""
    attacked = torch.arange(0, len(pool), 2) if some else None
    problem = make_problem(trained, eps=0.03, attacked=attacked)
    pairs = verification_pairs(pool.labels, pool.ids)
    signs = torch.where(pairs.same, 1.0, -1.0)
    found, margins = {}, {}
    for objective in ("gallery_away", "pair"):
        images = ATTACKS.build(f"pgd_decay[objective={objective}]").run(problem).images
        with torch.no_grad():
            moved = trained(images)
        outcomes = retrieve(problem.clean, moved, pool.labels, pool.labels, pool.ids, pool.ids)
        found[objective] = outcomes.means()["r1"]
        margins[objective] = float((signs * (moved * problem.clean[pairs.partner]).sum(1)).mean())
    clean = retrieve(problem.clean, problem.clean, pool.labels, pool.labels, pool.ids, pool.ids)
    assert found["gallery_away"] < min(found["pair"], clean.means()["r1"] - 0.2)
    assert margins["pair"] < margins["gallery_away"]
