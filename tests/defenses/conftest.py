import pytest
import torch

from defenses import Batch


class Recorder:
    """Stands in for the training attack: notes what it is asked, and returns the images a little brighter."""

    def __init__(self):
        self.calls = []

    def __call__(self, objective, images, model, *, start="uniform"):
        self.calls.append((objective, images.clone(), model, start))
        return self.changed(images)

    @staticmethod
    def changed(images):
        return (images * 0.9 + 0.05).detach()


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def batch(images):
    index = torch.randperm(len(images), generator=torch.Generator().manual_seed(3))[:24]
    return Batch(images.images[index], images.labels[index], index)
