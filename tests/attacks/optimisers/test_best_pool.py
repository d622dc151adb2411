import weakref

import pytest
import torch

from attacks import ATTACKS, OBJECTIVES
from attacks.geometry import Ball
from attacks.objectives import RatedPool
from attacks.objectives.information import InformationScore
from attacks.optimisers import best_pool
from attacks.optimisers.best_pool import EVERY, LAST, BestPool


@pytest.fixture
def rate_every_pool(monkeypatch):
    monkeypatch.setattr(best_pool, "EVERY", 1)


class Rated:
    """A pooled score whose pool has given values, one after the other."""

    def __init__(self, values):
        self.values = list(values)

    def __call__(self, embeddings, index):
        raise AssertionError

    def observe(self, index, embeddings):
        raise AssertionError

    def pool_value(self):
        return self.values.pop(0)


def test_the_best_of_the_last_is_kept():
    steps = LAST + 2  # the first two iterates are too early
    ratings = [1.0, 3.0, 2.0, 3.0, *[0.0] * (LAST // EVERY - 3)]
    best = BestPool(Rated(ratings), steps)
    pools = [[torch.full((1,), float(step))] for step in range(steps + 1)]
    for step, pool in enumerate(pools):
        best.add(step, pool, pool)
    second = pools[2 + EVERY]
    assert best.value == 3 and best.images == second and best.embeddings == second
    assert best._rated.values == []  # the final one was rated, and all others were not


def test_nothing_is_kept_where_pools_are_not_rated(make_problem, trained):
    best = BestPool(OBJECTIVES.build("pool").bind(make_problem(trained)), 2)
    best.add(1, [torch.zeros(1)])
    assert best.images is None


@pytest.mark.parametrize("name", [name for name in OBJECTIVES.names() if OBJECTIVES.get(name).pooled])
def test_objectives_declare_whether_they_rate_pools(make_problem, trained, name):
    score = OBJECTIVES.build(name).bind(make_problem(trained))
    assert isinstance(score, RatedPool) == OBJECTIVES.get(name).rates_pools


@pytest.mark.parametrize("best", range(5))
@pytest.mark.usefixtures("rate_every_pool")
def test_an_attack_returns_the_pool_of_the_highest_value(make_problem, trained, monkeypatch, best):
    """Of the images before each of four steps and after the last."""
    seen = []

    def pool_value(score):
        seen.append(score.pool.bank.clone())
        return float(len(seen) - 1 == best)

    monkeypatch.setattr(InformationScore, "pool_value", pool_value)
    problem = make_problem(trained)
    result = ATTACKS.build("pgd_decay[objective=information,steps=4]").run(problem)
    assert len(seen) == 5
    torch.testing.assert_close(trained(result.images), seen[best])
    last = ATTACKS.build("pgd_decay[objective=information,steps=4]")
    monkeypatch.setattr(InformationScore, "pool_value", lambda score: 0.0)
    assert not torch.equal(last.run(make_problem(trained)).images, result.images) or best == 0


@pytest.mark.parametrize(
    "spec",
    [
        "pgd_decay[objective=information,steps=3]",
        "pgd_decay[objective=information,steps=3,restarts=2]",
        "pgd_decay[objective=recluster,steps=3]",
    ],
)
@pytest.mark.usefixtures("rate_every_pool")
def test_as_many_pools_are_in_memory_as_was_said(make_problem, trained, monkeypatch, spec):
    made, most = [], []

    def step(ball, *arguments):
        images = real(ball, *arguments)
        made.append(weakref.ref(images))
        most.append(sum(len(one()) for one in made if one() is not None))
        return images

    real = Ball.step
    monkeypatch.setattr(Ball, "step", step)
    problem = make_problem(trained, batch_size=8)
    attack = ATTACKS.build(spec)
    attack.run(problem)
    held = max(most) + (attack.restarts > 1) * len(problem)  # the best restart is written elsewhere
    said = attack.pools_in_memory() * len(problem)
    assert said <= held <= said + 8  # one batch before and after its step
