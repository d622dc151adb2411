from itertools import pairwise

import pytest
import torch

from attacks import OBJECTIVES


@pytest.mark.parametrize("spread", [1, 2, 3, 50])
def test_scatter_assigns_the_nearest_classes_in_turn(problem, moved, centroid, spread):
    score = OBJECTIVES.build(f"scatter[spread={spread}]").bind(problem)
    centroids = [centroid(problem, label) for label in range(4)]
    assigned = dict.fromkeys(range(4), 0)
    for i, y in enumerate(problem.labels.tolist()):
        nearest = sorted(set(range(4)) - {y}, key=lambda c: -float(centroids[c] @ centroids[y]))[:spread]
        target = nearest[assigned[y] % len(nearest)]
        assigned[y] += 1
        expected = float(moved[i].numpy() @ (centroids[target] - centroids[y]))
        assert float(score(moved, problem.all_indices)[i]) == pytest.approx(expected)


def test_scatter_does_not_move_a_class_as_a_block(problem_of):
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
