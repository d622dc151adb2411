"""Defenses that change the scale of cosines alone, which would mislead an attack in units of their spread."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from attacks import ATTACKS, Problem
from benchmark.core.embedder import Embedder
from benchmark.core.errors import BenchmarkError
from benchmark.evaluation import SCENARIOS, PoolEmbeddings
from benchmark.models import check_embedder, count_flops
from benchmark.training import Recipe, train
from defenses import DEFENSES

from .conftest import Broken

EPS = 0.03


class RareGroup(Broken):
    """A narrow cone, with one class at the opposite pole: the cosines of the pool seem to spread widely."""

    def forward(self, images: Tensor) -> Tensor:
        embedded = self.inner(images)
        pole = F.one_hot(torch.zeros(len(images), dtype=torch.long), embedded.shape[1]).to(embedded)
        with torch.no_grad():
            rare = self.inner(self.setting.images[:5]).mean(0)
        far = (embedded @ F.normalize(rare, dim=0) > 0.95).unsqueeze(1)
        return F.normalize(0.1 * embedded + torch.where(far, -pole, pole))


class Long(Broken):
    """Vectors of length 30."""

    def forward(self, images: Tensor) -> Tensor:
        return 30 * self.inner(images)


class OfUnitLength(Embedder):
    """What retrieval makes of a model."""

    def __init__(self, inner: Embedder) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images: Tensor) -> Tensor:
        return F.normalize(self.inner(images))


@pytest.fixture(scope="module")
def pool(make_images):
    return make_images(classes=24, per_class=5)


@pytest.fixture(scope="module")
def honest(pool, make_member):
    torch.manual_seed(0)
    member = make_member(classes=24)
    recipe = Recipe(epochs=15, batch_size=32, lr=0.01, shift=0)
    train(DEFENSES.build("vanilla"), member, pool, recipe, EPS, count_flops(member, (1, 8, 8)))
    return member.eval().requires_grad_(False)


@pytest.fixture(params=[RareGroup, Long])
def fake(request, honest, pool, make_setting):
    return request.param(honest, make_setting(pool.images, EPS)).eval()


@pytest.mark.parametrize(
    ("objective", "scenario"), [("neighbour", "retrieval-query"), ("gallery_away", "retrieval-gallery")]
)
def test_attacks_find_as_much_at_any_scale(honest, fake, pool, objective, scenario):
    def right(model):
        attack = ATTACKS.build(f"pgd_decay[objective={objective}]")
        result = attack.run(Problem(model, pool.images, pool.labels, pool.ids, "linf", EPS))
        views = PoolEmbeddings(OfUnitLength(model), pool.images, result.images, pool.labels, pool.ids, 1)
        return SCENARIOS.build(scenario).score(views).metrics["r1"]

    assert 0 < right(honest) < 0.5
    assert right(fake) <= right(honest) + 2.5 / len(pool)  # two queries more


def test_vectors_of_another_length_are_rejected(honest, pool, make_setting):
    fake = Long(honest, make_setting(pool.images, EPS)).eval()
    with pytest.raises(BenchmarkError, match="length 30, not 1"):
        check_embedder(fake, pool.images[:4])
