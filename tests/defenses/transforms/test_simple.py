import pytest
import torch
from torchvision.transforms.v2 import functional

from defenses.transforms import simple


def test_simple_transforms_against_their_formulas(seeded, draw, monkeypatch):
    images = draw(3, count=2)
    monkeypatch.setattr(simple, "uniform", lambda images, low, high: torch.full((len(images), 1, 1, 1), high))
    near = torch.testing.assert_close
    near(simple.Contrast(smallest=0.5).apply(images), images)  # the largest factor is 1
    gamma = simple.Gamma(largest=2).apply(images)
    bright = images > 0.02
    near(gamma[bright], images[bright] ** 2)
    noise = seeded(simple.GaussianNoise(largest=0.2), torch.full((4, 3, 28, 28), 0.5))
    assert float((noise - 0.5).std()) == pytest.approx(0.2, rel=0.05)
    padded = torch.nn.functional.pad(images, (4, 4, 4, 4), mode="replicate")
    expected = functional.gaussian_blur(padded, [5, 5], [0.8, 0.8])[..., 4:-4, 4:-4]
    near(simple.GaussianBlur(largest=0.8).apply(images), expected, rtol=1e-4, atol=1e-5)


def test_contrast_scales_the_distance_from_each_images_mean(draw, monkeypatch):
    images = draw(3, count=2)
    monkeypatch.setattr(simple, "uniform", lambda images, low, high: torch.full((len(images), 1, 1, 1), low))
    for image, result in zip(images, simple.Contrast(smallest=0.3).apply(images), strict=True):
        mean = sum(image.flatten().tolist()) / image.numel()
        torch.testing.assert_close(result, 0.7 * mean + 0.3 * image)


def test_shifts_of_whole_pixels(draw, monkeypatch):
    images = draw(count=2, side=20)
    monkeypatch.setattr(simple.torch, "rand", lambda *shape: torch.ones(*shape))
    found = simple.Translate(largest=0.1).apply(images)  # 2 pixels each way
    expected = torch.zeros_like(images)
    expected[..., :-2, :-2] = images[..., 2:, 2:]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
