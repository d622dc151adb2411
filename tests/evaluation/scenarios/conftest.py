import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmark.core.embedder import Embedder
from benchmark.evaluation import SCENARIOS, PoolEmbeddings


class Linear(Embedder):
    """A linear embedder of images with 64 pixels, which counts the images that it embeds."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 6)
        self.embedded = 0

    def forward(self, images):
        self.embedded += len(images)
        return F.normalize(self.layer(images.flatten(1)))


class NoisyLinear(Linear):
    randomised = True

    def forward(self, images):
        return super().forward(images + 0.3 * torch.randn_like(images))


@pytest.fixture
def fixed_model():
    return Linear().eval()


@pytest.fixture
def randomised_model():
    return NoisyLinear().eval()


@pytest.fixture(params=[Linear, NoisyLinear])
def any_model(request):
    return request.param().eval()


@pytest.fixture
def pool(make_images):
    return make_images(classes=14, per_class=5, noise=0.3, seed=2)


@pytest.fixture
def attacked(pool):
    return (pool.images + 0.2 * torch.randn(pool.images.shape)).clamp(0, 1)


@pytest.fixture
def make_embeddings(pool, attacked):
    """Embeds the pool of the test; the options override its parts."""

    def make(model, attacked=attacked, repeats=4, **options):
        given = {"labels": pool.labels, "ids": pool.ids, "queries": pool.queries, **options}
        return PoolEmbeddings(model, pool.images, attacked, repeats=repeats, **given)

    return make


@pytest.fixture(scope="session")
def score():
    return lambda scenario, embeddings: SCENARIOS.build(scenario).score(embeddings)
