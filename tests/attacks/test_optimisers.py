import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attacks import Problem
from benchmark.core.embedder import Embedder
from benchmark.core.errors import AttackError
from benchmark.models import PassCounter, count_flops


@settings(deadline=None, max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    eps=st.sampled_from([1e-4, 8 / 255, 0.3, 3.0]), seed=st.integers(0, 99), step=st.sampled_from([None, 4.0])
)
def test_every_attack_keeps_the_ball_and_the_range(trained, pool, attack_on, case, eps, seed, step):
    name, objective, norm = case
    # Many pixels at the ends of the range, images that are equal, a class of one image.
    images = (2 * pool.images - 0.5).clamp(0, 1)
    images[1] = images[0]
    labels = pool.labels.clone()
    labels[-1] = 6
    sources = {"vanilla": trained}
    problem = Problem(trained, images, labels, pool.ids, norm, eps, seed, sources=sources)
    outcome = attack_on(name, objective, step=step, restarts=2).run(problem)
    delta = (outcome.images - images).double().flatten(1)
    size = delta.abs().amax(1) if norm == "linf" else delta.norm(dim=1)
    assert outcome.images.shape == images.shape
    assert outcome.images.dtype == torch.float32
    assert float(size.max()) <= eps + 1e-6 * (1 if norm == "linf" else 1 + eps)
    assert float(outcome.images.min()) >= 0 and float(outcome.images.max()) <= 1
    assert torch.isfinite(outcome.images).all()
    assert outcome.objective is None or torch.isfinite(outcome.objective).all()


def test_the_outcome_is_reproducible_and_its_score_is_true(trained, make_problem, attack_on, scores_at, case):
    name, objective, norm = case
    eps = 0.05 if norm == "linf" else 0.3
    attack = attack_on(name, objective)
    first = attack.run(make_problem(trained, norm=norm, eps=eps))
    torch.manual_seed(123)
    again = attack.run(make_problem(trained, norm=norm, eps=eps))
    assert torch.equal(first.images, again.images)
    # `information` goes on from the clusters that it had, so its score cannot be had afresh.
    if objective not in (None, "information"):
        found = scores_at(make_problem(trained, norm=norm, eps=eps), objective, first.images)
        torch.testing.assert_close(first.objective, found)


def test_the_size_of_a_batch_changes_nothing(linear, make_problem, attack_on, case):
    name, objective, norm = case
    attack = attack_on(name, objective, restarts=2)
    whole = attack.run(make_problem(linear, norm=norm, eps=0.1))
    for size in (1, 7):
        parts = attack.run(make_problem(linear, norm=norm, eps=0.1, batch_size=size))
        torch.testing.assert_close(parts.images, whole.images, atol=1e-6, rtol=0)
        if objective is not None:
            torch.testing.assert_close(parts.objective, whole.objective)


@pytest.mark.parametrize("name", ["pgd", "square", "cw"])
def test_an_image_is_attacked_the_same_in_any_order(linear, pool, attack_on, name, alone):
    order = torch.randperm(len(pool))
    attack = attack_on(name, alone)
    norm = attack.norms[0]
    if alone == "scatter":  # deals its targets in the order of the pool
        order = torch.argsort(torch.rand(6)[pool.labels], stable=True)
    straight = attack.run(Problem(linear, pool.images, pool.labels, pool.ids, norm, 0.1))
    mixed = attack.run(Problem(linear, pool.images[order], pool.labels[order], pool.ids[order], norm, 0.1))
    torch.testing.assert_close(mixed.images, straight.images[order], atol=1e-6, rtol=0)


def test_the_model_is_left_as_it_was(make_member, make_problem, attack_on, pair):
    name, objective = pair
    member = make_member().eval()
    state = {key: value.clone() for key, value in member.state_dict().items()}
    wants_gradient = [parameter.requires_grad for parameter in member.parameters()]
    attack = attack_on(name, objective)
    attack.run(make_problem(member, norm=attack.norms[0]))
    assert all(torch.equal(value, state[key]) for key, value in member.state_dict().items())
    assert all(parameter.grad is None for parameter in member.parameters())
    assert [parameter.requires_grad for parameter in member.parameters()] == wants_gradient
    assert not any(module.training for module in member.modules())


def test_passes_are_as_announced(trained, make_problem, attack_on, climber):
    attack = attack_on(climber, "own", steps=4, restarts=2)
    problem = make_problem(trained, norm=attack.norms[0])
    _ = problem.clean  # what the objective needs of the clean pool is made once for all attacks
    with PassCounter(trained, (1, 8, 8), count_flops(trained, (1, 8, 8))) as counter:
        attack.run(problem)
    assert counter.total == attack.passes_per_image() * len(problem)


def test_only_the_targets_are_changed_and_scored(trained, make_problem, attack_on, pair):
    name, objective = pair
    attack = attack_on(name, objective)
    targets = torch.tensor([2, 3, 11, 29])
    problem = make_problem(trained, norm=attack.norms[0], eps=0.1, attacked=targets, batch_size=3)
    outcome = attack.run(problem)
    changed = (outcome.images != problem.images).flatten(1).any(1)
    assert set(changed.nonzero().flatten().tolist()) <= set(targets.tolist())
    if objective is not None:
        assert changed[targets].all()
        assert outcome.objective.shape == (4,)


class Broken(Embedder):
    """Embeds well, but its gradient is not a number."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, images):
        return self.inner(images) + 0 * (images - images).square().sum().sqrt()


def test_a_gradient_that_is_not_a_number_does_not_pass_for_robustness(
    trained, make_problem, attack_on, white_case
):
    name, objective, norm = white_case
    with pytest.raises(AttackError, match="not a number"):
        attack_on(name, objective).run(make_problem(Broken(trained), norm=norm))
