import pytest
import torch
import torch.nn.functional as F
from torch import nn

from attacks import Problem
from benchmark.core.embedder import Embedder
from benchmark.models import count_flops
from benchmark.training import Recipe, train
from defenses import DEFENSES


class Linear(Embedder):
    """One linear layer in float64, so that the size of a batch does not change a single bit that matters."""

    def __init__(self, pixels=64, dim=6):
        super().__init__()
        self.layer = nn.Linear(pixels, dim).double()

    def forward(self, images):
        return F.normalize(self.layer(images.double().flatten(1) - 0.5))


@pytest.fixture
def linear():
    return Linear().eval()


@pytest.fixture(scope="session")
def trained(images, make_member):
    """A small convolutional network that tells the classes of its training set apart."""
    torch.manual_seed(0)
    member = make_member()
    recipe = Recipe(epochs=15, batch_size=32, lr=0.01, shift=0)
    train(DEFENSES.build("vanilla"), member, images, recipe, 0.1, count_flops(member, (1, 8, 8)))
    return member.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def pool(make_images):
    return make_images(classes=6, per_class=5, seed=1)


@pytest.fixture(scope="session")
def make_problem(pool):
    def make(embedder, data=pool, norm="linf", eps=0.05, **options):
        return Problem(embedder, data.images.clone(), data.labels, data.ids, norm, eps, **options)

    return make
