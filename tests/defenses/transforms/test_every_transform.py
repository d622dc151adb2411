"""What the contract of transforms does not check of the project's own."""

import pytest
import torch

from defenses.transforms import TRANSFORMS

NAMES = TRANSFORMS.names()


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
