import pytest
import torch
import torch.nn.functional as F
from torch import nn

from attacks import ATTACKS, MEASURES, Problem
from benchmark.core.embedder import Embedder
from benchmark.core.errors import BenchmarkError
from benchmark.evaluation import SCENARIOS, PoolEmbeddings


class Plain(Embedder):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 6)

    def forward(self, images):
        return F.normalize(self.layer(images.flatten(1)))


class Shaky(Plain):
    randomised = True

    def forward(self, images):
        return super().forward(images + 0.05 * torch.randn_like(images))


@pytest.fixture
def pool(make_images):
    return make_images(classes=6, per_class=5, noise=0.3, seed=2)


def views_of(model, pool, attack, passes=1, ids=None):
    attack = ATTACKS.build(attack) if attack else None
    attacked = (pool.images + 0.2 * torch.randn(pool.images.shape)).clamp(0, 1)
    ids = pool.ids if ids is None else ids
    return PoolEmbeddings(model, pool.images, attacked, pool.labels, ids, passes, attack=attack)


def score(views):
    return SCENARIOS.build("ranking").score(views)


@pytest.mark.parametrize("name", MEASURES.names())
def test_the_figures_are_the_measures_on_the_attacked_pool(name, pool):
    views = views_of(Plain(), pool, f"robrank[measure={name}]")
    measure = MEASURES.build(name)
    targets = measure.targets(views.clean(), pool.labels, pool.ids)
    expected = measure.scores(views.clean(), views.attacked(), pool.labels, targets)
    constant = torch.ones(len(pool), 3)
    expected |= {
        f"constant_{key}": value
        for key, value in measure.scores(constant, constant, pool.labels, targets).items()
    }
    result = score(views)
    assert result.metrics == pytest.approx(expected)
    assert not result.arrays


def test_the_attack_and_the_scenario_mean_the_same_targets(pool):
    model = Plain().eval()
    problem = Problem(model, pool.images, pool.labels, pool.ids, "linf", 0.1, seed=3, batch_size=7)
    views = views_of(model, pool, "robrank[measure=qa_minus]")
    measure = MEASURES.build("qa_minus")
    drawn = measure.targets(problem.clean, problem.labels, problem.ids)
    assert torch.equal(drawn, measure.targets(views.clean(), views.labels, views.ids))


def test_a_randomised_model_is_scored_over_passes_about_the_same_targets(pool):
    views = views_of(Shaky(), pool, "robrank[measure=qa_plus]", passes=3)
    measure = MEASURES.build("qa_plus")
    middle = F.normalize(sum(views.clean(turn) for turn in range(3)))
    targets = measure.targets(middle, pool.labels, pool.ids)
    each = [
        measure.scores(views.clean(turn), views.attacked(turn), pool.labels, targets)["qa_plus"]
        for turn in range(3)
    ]
    assert len(set(each)) > 1
    assert score(views).metrics["qa_plus"] == pytest.approx(sum(each) / 3)


@pytest.mark.parametrize(("attack", "said"), [("noise", "noise"), (None, "clean images")])
def test_other_attacks_are_refused(attack, said, pool):
    with pytest.raises(BenchmarkError, match=f"made for it alone, not {said}"):
        score(views_of(Plain(), pool, attack))


def test_two_images_of_one_id_are_refused(pool):
    ids = pool.ids.clone()
    ids[4] = ids[9]
    with pytest.raises(BenchmarkError, match="two images of one id"):
        score(views_of(Plain(), pool, "robrank", ids=ids))


def test_it_is_left_to_the_attacks_that_name_it():
    assert SCENARIOS.get("ranking").exclusive
    assert ATTACKS.build("robrank").scenarios == ("ranking",)
