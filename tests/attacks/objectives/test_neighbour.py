import math

import pytest
import torch

from attacks import OBJECTIVES
from attacks.objectives.base import anneal
from benchmark.metrics import retrieve


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
    assert score(moved, problem.all_indices).tolist() == pytest.approx(expected)


def test_neighbour_leaves_out_itself_but_not_its_double(problem_of):
    labels = torch.tensor([0, 0, 1, 1])
    problem = problem_of(torch.tensor([[1.0, 0], [1, 0], [0, 1], [1, 1]]), labels)
    score = OBJECTIVES.build("neighbour").bind(problem)
    values = score(problem.clean, torch.arange(4))
    # 0 and 1 are the same point, so each is the other's positive, at cosine 1.
    root = math.sqrt(0.5)
    assert values.tolist() == pytest.approx([root - 1, root - 1, 0 - root, root - root], abs=1e-6)


def test_neighbour_of_an_image_alone_in_its_class_is_finite_and_pulls_to_the_negatives(problem, moved):
    score = OBJECTIVES.build("neighbour[sharpness=1000000]").bind(problem)
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
        (gradient,) = torch.autograd.grad(score(z, problem.all_indices[i : i + 1]).sum(), z)
        weights = torch.exp(8 / problem.cosine_gap * problem.clean @ moved[i])
        negative = [j for j in range(10) if problem.labels[j] != problem.labels[i]]
        positive = [j for j in range(10) if problem.labels[j] == problem.labels[i] and j != i]
        up, down = ((weights[of] @ problem.clean[of]) / weights[of].sum() for of in (negative, positive))
        torch.testing.assert_close(gradient[0], up - down, rtol=0, atol=0.01)


def test_the_soft_maximum_gets_harder_by_the_same_factor_at_each_step(problem, moved):
    def gradient(score):
        z = moved.clone().requires_grad_(True)
        (found,) = torch.autograd.grad(score(z, problem.all_indices).sum(), z)
        return found

    annealed = OBJECTIVES.build("neighbour[sharpness=4,growth=100]").bind(problem)
    first = gradient(annealed)
    for progress, sharpness in ((0.5, 40), (0.0, 4), (0.75, 4 * 100**0.75)):
        anneal(annealed, progress)
        constant = OBJECTIVES.build(f"neighbour[sharpness={sharpness},growth=1]").bind(problem)
        anneal(constant, progress)
        torch.testing.assert_close(gradient(annealed), gradient(constant))
        assert torch.allclose(gradient(annealed), first) == (progress == 0)


def test_neighbour_is_positive_exactly_where_recall_fails(problem, moved):
    score = OBJECTIVES.build("neighbour").bind(problem)
    retrieval = retrieve(
        moved, problem.clean, problem.labels, problem.labels, problem.all_indices, problem.all_indices
    )
    assert retrieval.left_out == 1
    assert torch.equal(retrieval.recall[1], score(moved, problem.all_indices)[retrieval.kept] < 0)
