import pytest
import torch

from defenses.transforms import TRANSFORMS

NAMES = TRANSFORMS.names()


def straight_through(module, images):
    """Applies a transform as an attack does."""
    return module(images) if module.transform.differentiable else module.straight_through(images)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_shape_range_gradient_and_declared_randomness(applied, seeded, draw, name, channels):
    module, images = applied(name, channels), draw(channels)
    given = images.clone()
    found = seeded(module, images)
    assert found.shape == images.shape and found.dtype == images.dtype
    assert found.min() >= 0 and found.max() <= 1 + 1e-6
    assert torch.equal(images, given)
    assert torch.equal(found, seeded(module, images))
    assert torch.equal(found, seeded(module, images, seed=1)) != module.transform.randomised

    inputs = images.clone().requires_grad_(True)
    torch.manual_seed(0)
    passed = straight_through(module, inputs)
    torch.testing.assert_close(passed.detach(), found)
    (gradient,) = torch.autograd.grad(passed.square().sum(), inputs)
    assert torch.isfinite(gradient).all()
    assert (gradient.flatten(1).abs().amax(1) > 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_images_with_black_and_white_have_a_finite_gradient(applied, draw, name):
    images = draw().round().requires_grad_(True)
    torch.manual_seed(0)
    (gradient,) = torch.autograd.grad(straight_through(applied(name), images).sum(), images)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("name", NAMES)
def test_each_image_of_a_batch_has_draws_of_its_own(applied, seeded, draw, name):
    module, image = applied(name), draw(count=1)
    found = seeded(module, image.repeat(8, 1, 1, 1))
    different = {tuple(single.flatten().tolist()) for single in found}
    assert len(different) == (8 if module.transform.randomised else 1)


@pytest.mark.parametrize("name", [name for name in NAMES if not TRANSFORMS.get(name).randomised])
def test_a_deterministic_transform_does_not_look_at_the_batch(draw, name):
    transform, images = TRANSFORMS.build(name), draw(3)
    assert torch.equal(transform.apply(images)[2:4], transform.apply(images[2:4]))


@pytest.mark.parametrize(
    "name", [name for name in NAMES if TRANSFORMS.get(name).differentiable and name != "barrage"]
)
def test_what_is_called_differentiable_agrees_with_finite_differences(seeded, draw, name):
    transform = TRANSFORMS.build(name)
    images = (0.25 + 0.5 * draw(count=2, side=12)).double()
    direction = torch.randn(images.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    inputs = images.clone().requires_grad_(True)
    target = torch.randn(images.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    (gradient,) = torch.autograd.grad((seeded(transform, inputs) * target).sum(), inputs)
    step = 1e-6
    above, below = (seeded(transform, images + sign * step * direction) for sign in (1, -1))
    slope = ((above - below) * target).sum() / (2 * step)
    torch.testing.assert_close((gradient * direction).sum(), slope, rtol=1e-4, atol=1e-5)


def test_those_with_a_stand_in_declare_it():
    declared = {name for name in NAMES if TRANSFORMS.build(name).has_stand_in}
    assert declared == {"bit_depth", "jpeg", "barrage", "quilting"}
