import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attacks import Problem
from attacks.geometry import sizes
from benchmark.core.embedder import Embedder
from benchmark.core.errors import AttackError
from benchmark.models import PassCounter, count_flops

from .budgets import in_norm


@pytest.mark.slow
@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    eps=st.sampled_from([1e-4, 8 / 255, 0.3, 3.0]), seed=st.integers(0, 99), step=st.sampled_from([None, 4.0])
)
def test_every_attack_keeps_the_ball_and_the_range(trained, pool, attack_on, case, eps, seed, step):
    name, objective, norm = case
    eps = in_norm(eps, norm)
    # Many pixels at the ends of the range, images that are equal, a class of one image.
    images = (2 * pool.images - 0.5).clamp(0, 1)
    images[1] = images[0]
    labels = pool.labels.clone()
    labels[-1] = 6
    sources = {"vanilla": trained}
    problem = Problem(trained, images, labels, pool.ids, norm, eps, seed, sources=sources)
    result = attack_on(name, objective, step=step, restarts=2).run(problem)
    size = sizes((result.images - images).double(), norm)
    assert result.images.shape == images.shape
    assert result.images.dtype == torch.float32
    assert float(size.max()) <= eps + {"linf": 1e-6, "l2": 1e-6 * (1 + eps), "l0": 0}[norm]
    assert float(result.images.min()) >= 0 and float(result.images.max()) <= 1
    assert torch.isfinite(result.images).all()
    assert result.objective is None or torch.isfinite(result.objective).all()


@pytest.mark.slow
def test_the_result_is_reproducible_and_its_scores_are_correct(
    trained, make_problem, attack_on, scores_at, case
):
    name, objective, norm = case
    eps = 0.05 if norm == "linf" else 0.3
    attack = attack_on(name, objective)
    first = attack.run(make_problem(trained, norm=norm, eps=eps))
    torch.manual_seed(123)
    second = attack.run(make_problem(trained, norm=norm, eps=eps))
    assert torch.equal(first.images, second.images)
    # `information` starts k-means from its previous clusters, so its score cannot be recomputed.
    if objective not in (None, "information"):
        expected = scores_at(make_problem(trained, norm=norm, eps=eps), objective, first.images)
        torch.testing.assert_close(first.objective, expected)


AMPLIFYING = ("cw", "square")
"""Attacks that carry a last bit far: Adam divides by gradients near 0, a random search accepts or not."""


def assert_same_result(name, images, objective, expected_images, expected_objective):
    """The results agree as far as rounding allows: products are summed in another order in other batches."""
    if objective is not None:
        tolerance = {"rtol": 0, "atol": 0.05} if name in AMPLIFYING else {"rtol": 1e-4, "atol": 1e-5}
        torch.testing.assert_close(objective, expected_objective, **tolerance)
    if name not in AMPLIFYING:
        difference = (images - expected_images).flatten(1).abs().amax(1)
        assert (difference < 1e-5).double().mean() >= 0.9


@pytest.mark.slow
def test_the_result_does_not_depend_on_the_batch_size(linear, make_problem, attack_on, case):
    name, objective, norm = case
    attack = attack_on(name, objective, restarts=2)
    whole = attack.run(make_problem(linear, norm=norm, eps=0.1))
    for size in (1, 7):
        parts = attack.run(make_problem(linear, norm=norm, eps=0.1, batch_size=size))
        assert_same_result(name, parts.images, parts.objective, whole.images, whole.objective)


@pytest.mark.parametrize("name", ["pgd", "square", "cw"])
def test_an_image_is_attacked_the_same_in_any_order(linear, pool, attack_on, name, per_image_objective):
    order = torch.randperm(len(pool))
    attack = attack_on(name, per_image_objective)
    norm = attack.norms[0]
    if per_image_objective == "scatter":  # assigns targets in the order of the pool
        order = torch.argsort(torch.rand(6)[pool.labels], stable=True)
    straight = attack.run(Problem(linear, pool.images, pool.labels, pool.ids, norm, in_norm(0.1, norm)))
    mixed = attack.run(Problem(linear, pool.images[order], pool.labels[order], pool.ids[order], norm, 0.1))
    expected = straight.images[order], straight.objective[order]
    assert_same_result(name, mixed.images, mixed.objective, *expected)


def test_the_model_does_not_change(make_member, make_problem, attack_on, pair):
    name, objective = pair
    member = make_member().eval()
    state = {key: value.clone() for key, value in member.state_dict().items()}
    requires_grad = [parameter.requires_grad for parameter in member.parameters()]
    attack = attack_on(name, objective)
    attack.run(make_problem(member, norm=attack.norms[0]))
    assert all(torch.equal(value, state[key]) for key, value in member.state_dict().items())
    assert all(parameter.grad is None for parameter in member.parameters())
    assert [parameter.requires_grad for parameter in member.parameters()] == requires_grad
    assert not any(module.training for module in member.modules())


def test_the_cost_is_as_declared(trained, make_problem, attack_on, attack_with_objective):
    attack = attack_on(attack_with_objective, "own", steps=4, restarts=2)
    problem = make_problem(trained, norm=attack.norms[0])
    _ = problem.clean  # embedded once for all attacks, so not part of the cost
    with PassCounter(trained, (1, 8, 8), count_flops(trained, (1, 8, 8))) as counter:
        attack.run(problem)
    assert counter.total == attack.cost_per_image() * len(problem)


def test_only_the_perturbed_images_are_changed_and_scored(trained, make_problem, attack_on, pair):
    name, objective = pair
    attack = attack_on(name, objective)
    perturbed = torch.tensor([2, 3, 11, 29])
    problem = make_problem(trained, norm=attack.norms[0], eps=0.1, attacked=perturbed, batch_size=3)
    result = attack.run(problem)
    changed = (result.images != problem.images).flatten(1).any(1)
    assert set(changed.nonzero().flatten().tolist()) <= set(perturbed.tolist())
    if objective is not None:
        assert changed[perturbed].all()
        assert result.objective.shape == (4,)


class NanGradient(Embedder):
    """Embeds correctly, but its gradient is not a number."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, images):
        return self.inner(images) + 0 * (images - images).square().sum().sqrt()


def test_a_gradient_that_is_not_a_number_raises(trained, make_problem, attack_on, white_case):
    name, objective, norm = white_case
    with pytest.raises(AttackError, match="not a number"):
        attack_on(name, objective).run(make_problem(NanGradient(trained), norm=norm))
