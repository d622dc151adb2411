import math
from itertools import pairwise

import pytest
import torch

from attacks import ATTACKS, OBJECTIVES
from attacks.geometry import random_start, steepest
from attacks.objectives import RatedPool
from attacks.optimisers.evaluation import score_and_gradient


def test_noise_is_a_random_point(linear, make_problem):
    problem = make_problem(linear, seed=5)
    result = ATTACKS.build("noise").run(problem)
    assert result.objective is None
    other = ATTACKS.build("noise").run(make_problem(linear, seed=6))
    assert not torch.equal(result.images, other.images)
    assert float((result.images - problem.images).abs().mean()) == pytest.approx(0.025, rel=0.3)


def test_fgsm_is_one_signed_step(linear, make_problem, scores_at):
    problem = make_problem(linear, eps=0.05)
    result = ATTACKS.build("fgsm[objective=own]").run(problem)
    images = problem.images.clone().requires_grad_(True)
    score = OBJECTIVES.build("own").bind(problem)
    (gradient,) = torch.autograd.grad(score(linear(images), torch.arange(len(images))).sum(), images)
    expected = (problem.images + 0.05 * gradient.sign()).clamp(0, 1)
    risen = scores_at(problem, "own", expected) > scores_at(problem, "own", problem.images)
    assert risen.all()
    torch.testing.assert_close(result.images, expected)


def test_fgsm_has_a_random_start_where_the_objective_is_flat(linear, make_problem):
    result = ATTACKS.build("fgsm[objective=shift]").run(make_problem(linear))
    assert float(result.objective.min()) > 1e-3


def test_the_first_step_of_pgd_by_hand(linear, make_problem, norm):
    problem = make_problem(linear, norm=norm, eps=0.2, seed=3)
    attack = ATTACKS.build("pgd[objective=own,steps=1,step=0.3]")
    result = attack.run(problem)
    start = random_start(problem.images, problem.ids, norm, 0.2, 3, 0, attack.start_name)
    score = OBJECTIVES.build("own").bind(problem)
    _, gradient, _ = score_and_gradient(problem, score, start, torch.arange(len(start)))
    moved = start + 0.3 * 0.2 * steepest(gradient, norm)
    delta = moved - problem.images
    size = delta.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    delta = delta.clamp(-0.2, 0.2) if norm == "linf" else torch.where(size > 0.2, delta * 0.2 / size, delta)
    torch.testing.assert_close(result.images, (problem.images + delta).clamp(0, 1))


def test_step_sizes():
    assert ATTACKS.build("pgd[steps=5]").step_sizes() == [0.5] * 5
    assert ATTACKS.build("pgd[steps=2,step=1/4]").step_sizes() == [0.25, 0.25]
    falling = ATTACKS.build("pgd_decay[steps=4]").step_sizes()
    assert falling == pytest.approx([0.5 * (1 + math.cos(math.pi * t / 4)) for t in range(4)])
    assert falling[0] == 1 and falling == sorted(falling, reverse=True) and falling[-1] > 0
    assert ATTACKS.build("pgd_decay[steps=3,step=2]").step_sizes()[0] == 2


@pytest.mark.parametrize("name", ["pgd", "pgd_decay"])
def test_many_steps_score_higher_than_one(trained, make_problem, attack_on, name, objective, norm):
    eps = 0.05 if norm == "linf" else 0.3
    many = attack_on(name, objective, steps=10).run(make_problem(trained, norm=norm, eps=eps))
    one = attack_on("fgsm", objective).run(make_problem(trained, norm=norm, eps=eps))
    assert float(many.objective.mean()) >= float(one.objective.mean()) - 1e-4


def test_an_attack_scores_higher_than_noise(trained, make_problem, attack_on, scores_at, objective):
    noise = ATTACKS.build("noise").run(make_problem(trained)).images
    attacked = attack_on("pgd_decay", objective, steps=5).run(make_problem(trained))
    control = scores_at(make_problem(trained), objective, noise)
    assert float(attacked.objective.mean()) > float(control.mean()) + 1e-2


def test_the_best_iterate_is_kept(trained, make_problem, attack_on, scores_at, per_image_objective):
    problem = make_problem(trained, eps=0.1)
    # Iterates are the first of a longer attack only where the objective is the same at each step.
    grows = "growth" in OBJECTIVES.get(per_image_objective).model_fields
    objective = f"{per_image_objective}[growth=1]" if grows else per_image_objective
    name = ATTACKS.get("pgd")(objective=objective, step=10.0).start_name
    start = random_start(problem.images, problem.ids, "linf", 0.1, problem.seed, 0, name)
    before = scores_at(problem, objective, start)
    # With steps of ten radii each iterate jumps from corner to corner, often to a lower score.
    values = [attack_on("pgd", objective, steps=n, step=10.0).run(problem).objective for n in range(1, 5)]
    for value in values:
        assert (value >= before - 1e-5).all()
        before = value


def test_restarts_never_lower_the_score(trained, make_problem, attack_on, objective):
    results = [attack_on("pgd", objective, restarts=n).run(make_problem(trained)) for n in (1, 2, 4)]
    values = [result.objective for result in results]
    score = OBJECTIVES.build(objective).bind(make_problem(trained))
    if isinstance(score, RatedPool):
        ratings = []
        for result in results:
            score.observe(torch.arange(len(result.images)), trained(result.images))
            ratings.append(score.pool_value())
        assert ratings == sorted(ratings)
        return
    for fewer, more in pairwise(values):
        if OBJECTIVES.get(objective).pooled:
            assert float(more.mean()) >= float(fewer.mean())
        else:
            assert (more >= fewer).all()
    assert float(values[2].mean()) > float(values[0].mean()) or OBJECTIVES.get(objective).pooled
