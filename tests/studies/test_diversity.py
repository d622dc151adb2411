import copy
from math import isnan

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from attacks import ATTACKS, OBJECTIVES, Problem
from benchmark.core.embedder import Embedder
from benchmark.metrics import retrieve
from benchmark.models import Ensemble
from benchmark.studies import diversity
from benchmark.studies.diversity import Diversity, first_classes, gradient_cosine, measure, transfer_matrix

EPS = 0.3


class Window(Embedder):
    """Uses only some rows of an image: the gradient of every other pixel is zero."""

    def __init__(self, rows: slice) -> None:
        super().__init__()
        self.rows = rows

    def forward(self, images):
        return F.normalize(images[:, :, self.rows].flatten(1) - 0.5, dim=1)


class Blind(Embedder):
    def forward(self, images):
        return F.normalize(torch.ones(len(images), 4) + 0 * images.sum((1, 2, 3)).unsqueeze(1), dim=1)


@pytest.fixture
def members(make_member, images):
    made = [make_member().requires_grad_(False) for _ in range(3)]
    for member in made:
        # Without statistics of the images in batch norm, all embeddings would be nearly the same.
        for _ in range(30):
            member(images.batch(slice(None)))
    return [member.eval() for member in made]


def problems_of(models, pool, queries=None):
    return [
        Problem(model, pool.batch(slice(None)), pool.labels, pool.ids, "linf", EPS, attacked=queries)
        for model in models
    ]


def r1(model, pool, images, queries):
    with torch.no_grad():
        gallery, queried = model(pool.batch(slice(None))), model(images[queries])
    found = retrieve(
        queried, gallery, pool.labels[queries], pool.labels, pool.ids[queries], pool.ids, ks=(1,)
    )
    return float(found.recall[1].double().mean())


def test_gradients_of_identical_members_agree(members, images):
    twins = [members[0], copy.deepcopy(members[0])]
    assert gradient_cosine(problems_of(twins, images)) == pytest.approx(1.0, abs=1e-6)


def test_gradients_of_members_that_see_different_pixels_are_orthogonal(images):
    halves = [Window(slice(0, 4)), Window(slice(4, 8))]
    assert gradient_cosine(problems_of(halves, images)) == 0.0


def test_the_cosine_is_that_of_a_slow_loop(members, images):
    queries = torch.arange(5, 25)
    cosines = []
    for n in queries.tolist():
        gradients = []
        for problem in problems_of(members, images):
            score = OBJECTIVES.build("neighbour").bind(problem)
            image = problem.images[n : n + 1].clone().requires_grad_(True)
            score(problem.embedder(image), torch.tensor([n])).sum().backward()
            gradients.append(image.grad.flatten())
        for i in range(3):
            cosines += [F.cosine_similarity(gradients[i], gradients[j], dim=0).item() for j in range(i)]
    found = gradient_cosine(problems_of(members, images, queries))
    assert found == pytest.approx(np.mean(cosines), abs=1e-4)


def test_a_gradient_of_zero_has_no_direction(members, images):
    assert isnan(gradient_cosine(problems_of([members[0], Blind()], images)))
    twins = [members[0], members[0], Blind()]
    assert gradient_cosine(problems_of(twins, images)) == pytest.approx(1.0, abs=1e-6)


def test_the_matrix_holds_r1_of_each_member_under_each_others_attack(members, images):
    queries = torch.arange(24)
    problems = problems_of(members[:2], images, queries)
    matrix = transfer_matrix(problems)
    for i in range(2):
        attacked = ATTACKS.build(diversity.ATTACK).run(problems[i]).images
        for j in range(2):
            assert matrix[i, j] == pytest.approx(r1(members[j], images, attacked, queries))


def test_rows_are_the_members_that_images_were_made_on(images):
    # Attacks on the constant member change nothing that matters; it fails on all images itself.
    matrix = transfer_matrix(problems_of([Window(slice(0, 8)), Blind()], images))
    assert matrix[:, 1].tolist() == [0.0, 0.0]
    assert matrix[0, 0] < 0.5 < matrix[1, 0]


def test_attacks_do_not_transfer_between_members_that_see_different_pixels(images):
    halves = Ensemble([Window(slice(0, 4)), Window(slice(4, 8))])
    found = measure(halves, images, torch.arange(len(images)), "linf", EPS, seed=0)
    assert found.members == 2
    assert found.transferred_r1 == pytest.approx(found.clean_r1.mean(), abs=0.03)
    assert found.own_r1 < found.transferred_r1 - 0.3


def test_a_single_model_is_its_own_only_member(members, images):
    found = measure(members[0], images, torch.arange(16), "linf", EPS, seed=0)
    assert found.transfer.shape == (1, 1)
    assert found.own_r1 == found.transfer[0, 0]
    assert isnan(found.gradient_cosine)
    assert isnan(found.transferred_r1)


def test_summaries_of_the_matrix():
    found = Diversity(0.0, np.ones(2), np.array([[0.1, 0.6], [0.8, 0.3]]))
    assert found.own_r1 == pytest.approx(0.2)
    assert found.transferred_r1 == pytest.approx(0.7)


def test_queries_are_whole_classes(make_images):
    pool = make_images(classes=5, per_class=4)
    assert pool.labels[first_classes(pool, 2)].bincount().tolist() == [4, 4]
    assert len(first_classes(pool)) == len(pool)
