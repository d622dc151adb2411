import pytest
import torch

from attacks import OBJECTIVES


def test_centroid(problem, moved, centroid):
    score = OBJECTIVES.build("centroid").bind(problem)
    for i, y in enumerate(problem.labels.tolist()):
        cosines = [float(moved[i].numpy() @ centroid(problem, label)) for label in range(4)]
        expected = max(c for label, c in enumerate(cosines) if label != y) - cosines[y]
        assert float(score(moved, problem.all_indices)[i]) == pytest.approx(expected)


def test_centroid_recomputes_the_nearest_class(problem_of):
    labels = torch.tensor([0, 1, 2])
    score = OBJECTIVES.build("centroid").bind(problem_of(torch.eye(3), labels))
    for target in (1, 2):
        z = (torch.eye(3)[0] + 0.1 * torch.eye(3)[target]).unsqueeze(0).requires_grad_(True)
        (gradient,) = torch.autograd.grad(score(z, torch.tensor([0])).sum(), z)
        assert gradient[0].tolist() == [-1.0] + [1.0 * (axis == target) for axis in (1, 2)]
