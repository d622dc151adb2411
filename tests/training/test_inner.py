import pytest
import torch

from benchmark.core.errors import UsageError
from benchmark.training.inner import TrainingAttack, frozen

EPS = 0.1


def flat(images):
    """An objective with zero gradient: the attack stays at its start."""
    return (images * 0).sum()


@pytest.fixture
def task(make_member, images):
    member = make_member().train()
    chosen = torch.arange(0, len(images), 4)
    inputs, labels = images.images[chosen], images.labels[chosen]
    # Batch norm's running statistics must converge, or the output in evaluation mode is nearly constant.
    for _ in range(20):
        member(inputs)
    return member, inputs, lambda x: member.loss(member(x), labels)


@pytest.mark.parametrize("start", ["uniform", "gaussian", "clean"])
@pytest.mark.parametrize(("eps", "step"), [(0.1, 0.5), (0.02, 10.0), (0.9, 0.7)])
def test_keeps_the_ball_and_the_range(task, start, eps, step):
    member, images, objective = task
    before = images.clone()
    found = TrainingAttack(eps, 3, step)(objective, images, member, start=start)
    assert float((found - images).abs().max()) <= eps + 1e-6
    assert float(found.min()) >= 0 and float(found.max()) <= 1
    assert not found.requires_grad
    assert torch.equal(images, before)


@pytest.mark.parametrize("start", ["uniform", "gaussian", "clean"])
def test_raises_the_objective(task, start):
    member, images, objective = task
    torch.manual_seed(3)
    found = TrainingAttack(EPS, 3, 0.5)(objective, images, member, start=start)
    torch.manual_seed(3)
    begun = TrainingAttack(EPS, 3, 0.5)(flat, images, member, start=start)
    with frozen(member):
        values = [float(objective(x).detach()) for x in (images, begun, found)]
    assert values[2] > max(values[:2]) + 0.1


def test_one_step_by_hand(task):
    member, images, objective = task
    torch.manual_seed(3)
    begun = TrainingAttack(EPS, 1, 0.5)(flat, images, member)
    torch.manual_seed(3)
    found = TrainingAttack(EPS, 1, 0.3)(objective, images, member)
    member.eval()
    begun = begun.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(objective(begun), begun)
    expected = begun.detach() + 0.3 * EPS * gradient.sign()
    expected = torch.minimum(torch.maximum(expected, images - EPS), images + EPS).clamp(0, 1)
    torch.testing.assert_close(found, expected)


def test_an_objective_of_one_value_an_image_is_summed(task):
    member, images, _ = task
    target = member(images).detach().roll(1, 0)
    found = []
    for reduce in (lambda x: x, torch.sum):
        torch.manual_seed(3)
        found.append(
            TrainingAttack(EPS, 2, 0.5)(lambda x, r=reduce: r((member(x) * target).sum(1)), images, member)
        )
    assert torch.equal(*found)


def test_the_starts():
    images = torch.full((50, 1, 8, 8), 0.5)
    attack = TrainingAttack(EPS, 1, 0.5)
    model = torch.nn.Identity()
    uniform = attack(flat, images, model) - images
    assert uniform.abs().max() <= EPS + 1e-6
    assert float(uniform.std()) == pytest.approx(EPS / 3**0.5, rel=0.05)
    assert abs(float(uniform.mean())) < 0.005
    gaussian = attack(flat, images, model, start="gaussian") - images
    assert float(gaussian.std()) == pytest.approx(0.001, rel=0.05)
    assert not torch.equal(attack(flat, images, model) - images, uniform)


@pytest.mark.parametrize("start", ["uniform", "gaussian", "clean"])
def test_the_ramp_scales_the_ball(task, start):
    member, images, objective = task
    attack = TrainingAttack(EPS, 3, 0.5)
    for scale in (0.0, 0.005, 0.5, 1.0):
        attack.scale = scale
        reach = float((attack(objective, images, member, start=start) - images).abs().max())
        assert reach == pytest.approx(EPS * scale, abs=1e-6)


def test_the_model_is_left_exactly_as_it_was(task):
    member, images, objective = task
    frozen_norm = member.embedder.network[1]
    frozen_norm.eval()  # frozen before the attack, as is the weight below
    member.embedder.network[0].weight.requires_grad_(False)
    next(member.criterion.parameters()).grad = torch.ones_like(next(member.criterion.parameters()))
    state = {key: value.clone() for key, value in member.state_dict().items()}
    modes = [module.training for module in member.modules()]
    required = [parameter.requires_grad for parameter in member.parameters()]
    grads = [None if p.grad is None else p.grad.clone() for p in member.parameters()]
    assert len(set(modes)) == len(set(required)) == 2
    seen = []

    def watched(x):
        seen.append(
            (any(m.training for m in member.modules()), any(p.requires_grad for p in member.parameters()))
        )
        return objective(x)

    TrainingAttack(EPS, 3, 0.5)(watched, images, member)
    assert seen == [(False, False)] * 3
    assert all(torch.equal(value, state[key]) for key, value in member.state_dict().items())
    assert [module.training for module in member.modules()] == modes
    assert [parameter.requires_grad for parameter in member.parameters()] == required
    for parameter, grad in zip(member.parameters(), grads, strict=True):
        assert (parameter.grad is None) == (grad is None)
        assert grad is None or torch.equal(parameter.grad, grad)


def test_the_model_is_restored_after_an_error(task):
    member, images, _ = task

    def fails(x):
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        TrainingAttack(EPS, 3, 0.5)(fails, images, member)
    assert all(module.training for module in member.modules())
    assert all(parameter.requires_grad for parameter in member.parameters())


def test_an_unknown_start_is_rejected(task):
    member, images, objective = task
    with pytest.raises(UsageError, match=r"Unknown start 'zero'\. Valid: clean, gaussian, uniform"):
        TrainingAttack(EPS, 1, 0.5)(objective, images, member, start="zero")


def test_a_clean_start_is_the_images_themselves(task):
    member, images, _ = task
    state = torch.get_rng_state()
    assert torch.equal(TrainingAttack(EPS, 3, 0.5)(flat, images, member, start="clean"), images)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_objective_receives_what_is_given(task):
    member, images, _ = task
    labels = torch.arange(len(images)) // 2
    found = []
    for function, given in (
        (lambda x: member.loss(member(x), labels), None),
        (member.loss_of_images, [labels]),
    ):
        torch.manual_seed(3)
        found.append(TrainingAttack(EPS, 2, 0.5)(function, images, member, given=given))
    assert torch.equal(*found)
