"""The unit of cosines that objectives are scaled by, and embeddings of other lengths."""

import pytest
import torch
import torch.nn.functional as F

from attacks import ATTACKS, OBJECTIVES, Problem
from attacks.problem import NEAR
from benchmark.core.embedder import Embedder


def problem_of(clean, labels):
    images, ids = torch.zeros(len(labels), 1, 1, 1), torch.arange(len(labels))
    problem = Problem(Embedder(), images, labels, ids, "linf", 0.1)
    problem.clean = F.normalize(clean)
    return problem


def gap_by_hand(problem):
    gaps = []
    for i, z in enumerate(problem.clean):
        cosines = [float(z @ other) for other in problem.clean]
        others = sorted(
            (c for j, c in enumerate(cosines) if problem.labels[j] != problem.labels[i]), reverse=True
        )
        nearest = max(c for j, c in enumerate(cosines) if j != i)
        gaps.append(nearest - others[:NEAR][-1])
    return sorted(gaps)[(len(gaps) - 1) // 2]


@pytest.mark.parametrize("classes", [2, 7])
def test_the_gap_is_that_of_a_typical_image_to_its_near_neighbors(classes):
    labels = torch.arange(21) % classes
    labels[labels == 1] = 0
    labels[0] = 1  # the images of the largest class have fewer than five others where classes are two
    problem = problem_of(torch.randn(21, 4, dtype=torch.float64), labels)
    assert problem.cosine_gap == pytest.approx(gap_by_hand(problem))


def test_a_narrow_cone_has_a_narrow_gap_and_the_same_attack():
    labels = torch.arange(60) % 6
    clean = F.normalize(torch.randn(60, 8, dtype=torch.float64))
    pole = torch.zeros(60, 1, dtype=torch.float64)
    wide = problem_of(torch.cat([pole, clean], 1), labels)
    # Cosines of (a, z) and (a, z') are (a^2 + z z') / (a^2 + 1): their differences shrink by one factor.
    narrow = problem_of(torch.cat([pole + 7, clean], 1), labels)
    assert narrow.cosine_gap == pytest.approx(wide.cosine_gap / 50)


def test_a_rare_group_at_the_opposite_pole_does_not_change_the_gap():
    labels = torch.arange(200) % 10
    clean = F.normalize(torch.randn(200, 8, dtype=torch.float64))
    pole = torch.full((200, 1), 4.0, dtype=torch.float64)
    before = problem_of(torch.cat([pole, clean], 1), labels)
    pole[::20] = -4.0
    after = problem_of(torch.cat([pole, clean], 1), labels)
    assert (after.clean @ after.clean.t()).std() > 5 * (before.clean @ before.clean.t()).std()
    assert after.cosine_gap == pytest.approx(before.cosine_gap, rel=0.15)


def test_a_constant_embedding_has_a_positive_gap():
    assert 0 < problem_of(torch.ones(6, 3), torch.arange(6) % 2).cosine_gap < 1e-5


class Longer(Embedder):
    """Another model's embeddings at another length."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, images):
        return 30 * self.inner(images)


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_the_length_of_embeddings_changes_nothing(trained, make_problem, name):
    attack = ATTACKS.build(f"pgd_decay[objective={name},steps=3]")
    found, expected = (
        attack.run(make_problem(model.eval().requires_grad_(False))) for model in (Longer(trained), trained)
    )
    torch.testing.assert_close(found.objective, expected.objective, rtol=1e-3, atol=1e-3)
    # The sign of a gradient that is zero but for rounding may differ.
    assert ((found.images - expected.images).abs() > 1e-4).float().mean() < 0.01
