import numpy as np
import pytest
import torch
import torch.nn.functional as F

from attacks import Problem
from benchmark.core.embedder import Embedder

LABELS = torch.tensor([0, 1, 2, 0, 1, 1, 2, 2, 2, 3])  # class 3 has a single image


@pytest.fixture(scope="session")
def problem_of():
    """Makes a problem with given clean embeddings; its images are blank."""

    def make(clean, labels=LABELS):
        images, ids = torch.zeros(len(labels), 1, 1, 1), torch.arange(len(labels))
        problem = Problem(Embedder(), images, labels, ids, "linf", 0.1)
        problem.clean = F.normalize(clean)
        return problem

    return make


@pytest.fixture
def problem(problem_of):
    """Ten images of four classes with random clean embeddings."""
    return problem_of(torch.randn(len(LABELS), 5, dtype=torch.float64))


@pytest.fixture
def moved():
    """Random attacked embeddings of the ten images."""
    return F.normalize(torch.randn(len(LABELS), 5, dtype=torch.float64))


@pytest.fixture(scope="session")
def centroid():
    """Computes the direction of a class's mean clean embedding with numpy."""

    def direction(problem, label):
        mean = problem.clean[problem.labels == label].numpy().mean(0)
        return mean / np.linalg.norm(mean)

    return direction
