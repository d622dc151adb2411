"""Properties of all objectives, and the short objectives."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from attacks import ATTACKS, OBJECTIVES, Problem
from benchmark.core.embedder import Embedder
from benchmark.metrics import retrieve, verification_pairs


def bound(name, problem):
    """Binds an objective; a pooled score then observes random attacked embeddings."""
    objective = OBJECTIVES.build(name)
    score = objective.bind(problem)
    if objective.pooled:
        attacked_embeddings = F.normalize(torch.randn(len(problem.labels), 5, dtype=torch.float64))
        score.observe(problem.all_indices, attacked_embeddings)
    return score


# The gradients of these are those of a soft maximum, which are checked where it is nearly hard.
HARD = {name: f"{name}[sharpness=1000000]" for name in ("neighbour", "target")}
DIFFERENTIABLE = [HARD.get(name, name) for name in OBJECTIVES.names()]


@pytest.mark.parametrize("name", [*DIFFERENTIABLE, "gallery_away[temperature=0.3]"])
def test_gradients_agree_with_finite_differences(name, problem, moved):
    index = torch.tensor([7, 2, 9, 0])
    for score in (OBJECTIVES.build(name).bind(problem), bound(name, problem)):
        assert score(moved[index], index).shape == (4,)
        z = moved[index].requires_grad_(True)
        assert torch.autograd.gradcheck(lambda z, score=score: score(z, index), z)
        (gradient,) = torch.autograd.grad(score(z, index).sum(), z)
        assert (gradient != 0).any(1).all()  # the check is vacuous for a constant score


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_an_image_is_scored_alone_and_in_any_batch(name, problem, moved):
    score = bound(name, problem)
    whole = score(moved, problem.all_indices)
    for index in (torch.tensor([4]), torch.tensor([9, 1, 1, 3])):
        torch.testing.assert_close(score(moved[index], index), whole[index])


def test_centroids_are_directions_of_class_means(problem, centroid):
    expected = np.stack([centroid(problem, label) for label in range(4)])
    np.testing.assert_allclose(problem.centroids.numpy(), expected)


def test_shift(problem, moved):
    score = OBJECTIVES.build("shift").bind(problem)
    expected = [1 - float(z @ c) for z, c in zip(moved, problem.clean, strict=True)]
    assert score(moved, problem.all_indices).tolist() == pytest.approx(expected)
    clean = problem.clean.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(score(F.normalize(clean), problem.all_indices).sum(), clean)
    assert gradient.abs().max() < 1e-12  # hence `flat_at_clean`
    assert OBJECTIVES.get("shift").flat_at_clean


def test_own(problem, moved, centroid):
    expected = [
        -float(z.numpy() @ centroid(problem, y)) for z, y in zip(moved, problem.labels.tolist(), strict=True)
    ]
    assert OBJECTIVES.build("own").bind(problem)(moved, problem.all_indices).tolist() == pytest.approx(
        expected
    )


def test_centroid_ce(problem, moved, centroid):
    score = OBJECTIVES.build("centroid_ce[scale=7]").bind(problem)
    for i, y in enumerate(problem.labels.tolist()):
        logits = [
            7 / problem.cosine_gap * float(moved[i].numpy() @ centroid(problem, label)) for label in range(4)
        ]
        expected = -logits[y] + math.log(sum(map(math.exp, logits)))
        assert float(score(moved, problem.all_indices)[i]) == pytest.approx(expected)


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
def test_embeddings_in_a_narrow_cone_get_the_same_attack(linear, pool, name):
    attacked = []
    for embedder in (linear, Cone(linear, 6)):
        problem = Problem(embedder, pool.images, pool.labels, pool.ids, "linf", 0.1)
        attacked.append(ATTACKS.build(f"bim[objective={name},steps=8]").run(problem).images)
    delta, other = (images - pool.images for images in attacked)
    assert float((delta * other).sum() / (delta.norm() * other.norm())) > 0.9


def test_collapse(problem, moved):
    mean = problem.clean.numpy().mean(0)
    expected = moved.numpy() @ mean / np.linalg.norm(mean)
    score = OBJECTIVES.build("collapse").bind(problem)
    assert score(moved, problem.all_indices).tolist() == pytest.approx(expected.tolist())
    assert score(problem.clean[:1], problem.all_indices[:1]) == score(
        problem.clean[:1], problem.all_indices[9:]
    )  # no labels


def test_pair_uses_the_partners_of_verification(problem, moved):
    problem.ids = torch.randperm(1000)[: len(problem.labels)]
    pairs = verification_pairs(problem.labels, problem.ids)
    assert 0 < int(pairs.same.sum()) < len(problem.labels)
    expected = []
    for i, z in enumerate(moved):
        cosine = float(z @ problem.clean[pairs.partner[i]])
        expected.append(-cosine if problem.labels[pairs.partner[i]] == problem.labels[i] else cosine)
    assert OBJECTIVES.build("pair").bind(problem)(moved, problem.all_indices).tolist() == pytest.approx(
        expected
    )


@pytest.mark.parametrize("some", [False, True])
def test_objectives_made_for_a_scenario_are_the_strongest_there(trained, make_problem, pool, some):
    """Each lowers the metric of its own scenario, by more than the other does."""
    attacked = torch.arange(0, len(pool), 2) if some else None
    problem = make_problem(trained, eps=0.03, attacked=attacked)
    pairs = verification_pairs(pool.labels, pool.ids)
    signs = torch.where(pairs.same, 1.0, -1.0)
    found, margins = {}, {}
    for objective in ("gallery_away", "pair"):
        images = ATTACKS.build(f"pgd_decay[objective={objective}]").run(problem).images
        with torch.no_grad():
            moved = trained(images)
        retrieval = retrieve(problem.clean, moved, pool.labels, pool.labels, pool.ids, pool.ids)
        found[objective] = retrieval.means()["r1"]
        margins[objective] = float((signs * (moved * problem.clean[pairs.partner]).sum(1)).mean())
    clean = retrieve(problem.clean, problem.clean, pool.labels, pool.labels, pool.ids, pool.ids)
    assert found["gallery_away"] < min(found["pair"], clean.means()["r1"] - 0.2)
    assert margins["pair"] < margins["gallery_away"]
