import pytest
import torch

from attacks import ATTACKS, expand
from attacks.ranking import MEASURES, measure_of
from benchmark.core.errors import UsageError


@pytest.fixture(params=MEASURES.names())
def name(request):
    return request.param


def test_each_attack_raises_its_objective_within_ball_and_range(name, trained, make_problem):
    problem = make_problem(trained)
    result = ATTACKS.build(f"robrank[measure={name},steps=12]").run(problem)
    score = MEASURES.build(name).bind(problem)
    with torch.no_grad():
        before = score(trained(problem.images), problem.perturbed)
        after = score(trained(result.images), problem.perturbed)
    torch.testing.assert_close(result.objective, after)
    assert float(after.mean()) > float(before.mean()) + 1e-3
    assert (result.images - problem.images).abs().max() <= 0.05 + 1e-6
    assert float(result.images.min()) >= 0 and float(result.images.max()) <= 1
    assert result.zero_gradient is not None and result.zero_gradient < 1


def test_each_attack_worsens_its_scores(name, trained, pool, make_problem):
    problem = make_problem(trained)
    result = ATTACKS.build(f"robrank[measure={name}]").run(problem)
    measure = MEASURES.build(name)
    targets = measure.targets(problem.clean, pool.labels, pool.ids)
    with torch.no_grad():
        attacked = trained(result.images)
    before = measure.scores(problem.clean, problem.clean, pool.labels, targets)
    after = measure.scores(problem.clean, attacked, pool.labels, targets)
    grows = {"ca_minus", "qa_minus", "tma", "es_d", "order_src", "hub_top1"}
    for key, value in before.items():
        assert (after[key] > value) == (key.removesuffix("_published") in grows), key


def test_the_steps_are_signs_from_the_clean_image_and_the_last_is_kept(linear, pool, make_problem):
    problem = make_problem(linear)
    result = ATTACKS.build("robrank[measure=tma,steps=3,step=1/2]").run(problem)
    target = problem.clean[MEASURES.build("tma").targets(problem.clean, pool.labels, pool.ids)]
    current = pool.images
    for _ in range(3):
        start = current.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad((linear(start) * target).sum(), start)
        low, high = (pool.images - 0.05).clamp_min(0), (pool.images + 0.05).clamp_max(1)
        current = (current + 0.025 * gradient.sign()).clamp(low, high)
    torch.testing.assert_close(result.images, current)


def test_an_image_is_attacked_the_same_in_any_batch_and_subset(name, linear, pool, make_problem):
    attack = ATTACKS.build(f"robrank[measure={name},steps=3]")
    whole = attack.run(make_problem(linear)).images
    torch.testing.assert_close(attack.run(make_problem(linear, batch_size=7)).images, whole)
    some = torch.tensor([2, 11, 29])
    part = attack.run(make_problem(linear, attacked=some)).images
    torch.testing.assert_close(part[some], whole[some])
    rest = torch.ones(len(pool), dtype=torch.bool)
    rest[some] = False
    assert torch.equal(part[rest], pool.images[rest])


def test_specs():
    attack = ATTACKS.build("robrank")
    assert attack.spec == "robrank[measure=ca_plus]"
    assert (attack.steps, attack.step, attack.scenarios) == (32, 0.375, ("ranking",))
    assert ATTACKS.build("robrank[measure=qa_minus[seed=0],step=3/8]").spec == "robrank[measure=qa_minus]"
    assert measure_of(ATTACKS.build("robrank[measure=gtt[seed=2]]")) == MEASURES.build("gtt[seed=2]")
    assert measure_of(ATTACKS.build("noise")) is None
    with pytest.raises(UsageError, match="Did you mean 'qa_plus'"):
        ATTACKS.build("robrank[measure=qaplus]")


def test_the_suite_has_every_measure_of_the_score_once():
    names = [name for name in MEASURES.names() if name not in ("order", "hub")]
    assert sorted(expand(["ranking"])) == sorted(f"robrank[measure={name}]" for name in names)
