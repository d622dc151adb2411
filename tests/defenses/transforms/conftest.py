import pytest
import torch

from defenses.transforms import TRANSFORMS


@pytest.fixture
def draw():
    """Smooth shapes with noise, so that every transform has something to change."""

    def images(channels=1, count=6, side=28):
        generator = torch.Generator().manual_seed(channels)
        coarse = torch.rand(count, channels, 4, 4, generator=generator)
        smooth = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")
        return (smooth + 0.1 * torch.randn(smooth.shape, generator=generator)).clamp(0, 1)

    return images


@pytest.fixture
def applied(draw):
    """Builds the part of a model that holds a transform, and shows it training images."""

    def build(spec, channels=1):
        module = TRANSFORMS.build(spec).applied()
        torch.manual_seed(4)
        module.learn(draw(channels, count=40))
        return module

    return build


@pytest.fixture
def seeded():
    """Applies a transform, or the part of a model that holds it, under a seed."""

    def apply(transform, images, seed=0):
        torch.manual_seed(seed)
        return (transform if callable(transform) else transform.apply)(images)

    return apply
