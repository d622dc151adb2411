from itertools import pairwise

import pytest
import torch

from defenses.transforms import TRANSFORMS
from defenses.transforms.barrage import Barrage
from defenses.transforms.base import Transform
from defenses.transforms.total_variation import minimise_tv, smoothed_tv

NAMES = TRANSFORMS.names()


def draw(channels=1, count=6, side=28):
    """Smooth shapes with noise, so that every transform has something to change."""
    generator = torch.Generator().manual_seed(channels)
    coarse = torch.rand(count, channels, 4, 4, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")
    return (smooth + 0.1 * torch.randn(smooth.shape, generator=generator)).clamp(0, 1)


def seeded(transform, images, seed=0):
    torch.manual_seed(seed)
    return transform.apply(images)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_shape_range_gradient_and_declared_randomness(name, channels):
    transform, images = TRANSFORMS.build(name), draw(channels)
    given = images.clone()
    found = seeded(transform, images)
    assert found.shape == images.shape and found.dtype == images.dtype
    assert found.min() >= 0 and found.max() <= 1 + 1e-6
    assert torch.equal(images, given)
    assert torch.equal(found, seeded(transform, images))
    assert torch.equal(found, seeded(transform, images, seed=1)) != transform.randomised

    inputs = images.clone().requires_grad_(True)
    torch.manual_seed(0)
    passed = transform.straight_through(inputs)
    torch.testing.assert_close(passed.detach(), found)
    (gradient,) = torch.autograd.grad(passed.square().sum(), inputs)
    assert torch.isfinite(gradient).all()
    assert (gradient.flatten(1).abs().amax(1) > 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_images_with_black_and_white_have_a_finite_gradient(name):
    images = draw().round().requires_grad_(True)
    torch.manual_seed(0)
    (gradient,) = torch.autograd.grad(TRANSFORMS.build(name).straight_through(images).sum(), images)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("name", NAMES)
def test_each_image_of_a_batch_has_draws_of_its_own(name):
    transform, image = TRANSFORMS.build(name), draw(count=1)
    found = seeded(transform, image.repeat(8, 1, 1, 1))
    different = {tuple(single.flatten().tolist()) for single in found}
    assert len(different) == (8 if transform.randomised else 1)


@pytest.mark.parametrize("name", [name for name in NAMES if not TRANSFORMS.get(name).randomised])
def test_a_deterministic_transform_does_not_look_at_the_batch(name):
    transform, images = TRANSFORMS.build(name), draw(3)
    assert torch.equal(transform.apply(images)[2:4], transform.apply(images[2:4]))


@pytest.mark.parametrize(
    "name", [name for name in NAMES if TRANSFORMS.get(name).differentiable and name != "barrage"]
)
def test_what_is_called_differentiable_agrees_with_finite_differences(name):
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


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("quality", [30, 75])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_against_torchvision(channels, quality):
    codec = pytest.importorskip("torchvision.io")
    if not hasattr(codec, "encode_jpeg"):
        pytest.skip("this torchvision has no codec")
    images = draw(channels, count=3)
    found = TRANSFORMS.build(f"jpeg[quality={quality}]").apply(images)
    for image, result in zip(images, found, strict=True):
        pixels = (image * 255).round().byte()
        expected = codec.decode_jpeg(codec.encode_jpeg(pixels, quality))
        # Two builds of libjpeg may round differently.
        assert (result * 255 - expected).abs().max() <= 2.001
        assert (expected.int() - pixels.int()).abs().max() > 3


def test_jpeg_codes_two_channels_as_two_grey_images():
    images, jpeg = draw(2), TRANSFORMS.build("jpeg")
    alone = [jpeg.apply(images[:, channel : channel + 1]) for channel in (0, 1)]
    assert torch.equal(jpeg.apply(images), torch.cat(alone, 1))


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_bit_depth_against_the_nearest_level(bits):
    images = draw(3, count=2, side=6)
    levels = [level / (2**bits - 1) for level in range(2**bits)]
    found = TRANSFORMS.build(f"bit_depth[bits={bits}]").apply(images)
    for value, result in zip(images.flatten().tolist(), found.flatten().tolist(), strict=True):
        assert abs(result - min(levels, key=lambda level: abs(level - value))) < 1e-6


def objective(found, images, kept, weight):
    return 0.5 * (kept * (found - images) ** 2).sum((2, 3)) + weight * smoothed_tv(found)


def test_total_variation_against_loops():
    images = draw(count=1, side=5).double()
    pixels, expected = images[0, 0].tolist(), 0.0
    for y in range(5):
        for x in range(5):
            across = pixels[y][x + 1] - pixels[y][x] if x < 4 else 0.0
            down = pixels[y + 1][x] - pixels[y][x] if y < 4 else 0.0
            expected += (across**2 + down**2 + 0.01**2) ** 0.5
    assert float(smoothed_tv(images)) == pytest.approx(expected)


@pytest.mark.parametrize("weight", [0.01, 0.3])
def test_every_step_lowers_the_objective_towards_its_minimum(weight):
    images = draw(count=3, side=10).double()
    kept = (torch.rand(images.shape, generator=torch.Generator().manual_seed(1)) < 0.5).double()
    values = [
        objective(minimise_tv(images, kept, weight, steps), images, kept, weight) for steps in range(1, 12)
    ]
    for before, after in pairwise(values):
        assert (after < before).all()
    # A general optimiser finds the minimum; the steps get there in the end.
    found = images.clone().requires_grad_(True)
    optimiser = torch.optim.LBFGS(
        [found], max_iter=500, line_search_fn="strong_wolfe", tolerance_change=1e-12
    )

    def closure():
        optimiser.zero_grad()
        value = objective(found, images, kept, weight).sum()
        value.backward()
        return value

    optimiser.step(closure)
    long = objective(minimise_tv(images, kept, weight, 3000), images, kept, weight).sum()
    assert float(long) == pytest.approx(float(closure().detach()), rel=1e-3)


def test_total_variation_keeps_constant_images_and_never_reads_what_was_dropped():
    constant = torch.tensor([0.0, 0.3, 1.0]).view(3, 1, 1, 1).expand(3, 1, 9, 9)
    found = seeded(TRANSFORMS.build("total_variation[dropout=0.9]"), constant)
    torch.testing.assert_close(found, constant)
    images, kept = draw(count=2), (torch.rand(2, 1, 28, 28) < 0.5).float()
    other = torch.where(kept > 0, images, 1 - images)
    assert torch.equal(minimise_tv(images, kept, 0.03, 5), minimise_tv(other, kept, 0.03, 5))


def test_dropped_shares_follow_the_dropout(monkeypatch):
    import defenses.transforms.total_variation as module

    seen = []
    original = module.minimise_tv
    monkeypatch.setattr(module, "minimise_tv", lambda *args: seen.append(args[1]) or original(*args))
    seeded(TRANSFORMS.build("total_variation[dropout=0.3]"), draw(3, count=8))
    assert abs(float(seen[0].mean()) - 0.7) < 0.02
    assert seen[0].shape == (8, 3, 28, 28)


def test_simple_transforms_against_their_formulas(monkeypatch):
    import defenses.transforms.simple as module

    images = draw(3, count=2)
    monkeypatch.setattr(module, "uniform", lambda images, low, high: torch.full((len(images), 1, 1, 1), high))
    near = torch.testing.assert_close
    near(module.Contrast(smallest=0.5).apply(images), images)
    gamma = module.Gamma(largest=2).apply(images)
    bright = images > 0.02
    near(gamma[bright], images[bright] ** 2)
    noise = seeded(module.GaussianNoise(largest=0.2), torch.full((4, 3, 28, 28), 0.5))
    assert float((noise - 0.5).std()) == pytest.approx(0.2, rel=0.05)
    from torchvision.transforms.v2 import functional

    padded = torch.nn.functional.pad(images, (4, 4, 4, 4), mode="replicate")
    expected = functional.gaussian_blur(padded, [5, 5], [0.8, 0.8])[..., 4:-4, 4:-4]
    near(module.GaussianBlur(largest=0.8).apply(images), expected, rtol=1e-4, atol=1e-5)


def test_shifts_of_whole_pixels(monkeypatch):
    import defenses.transforms.simple as module

    images = draw(count=2, side=20)
    monkeypatch.setattr(module.torch, "rand", lambda *shape: torch.ones(*shape))
    found = module.Translate(largest=0.1).apply(images)  # 2 pixels each way
    expected = torch.zeros_like(images)
    expected[..., :-2, :-2] = images[..., 2:, 2:]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


class Marking(Transform):
    """Writes down its number in the next free column of each image."""

    number: int = 1

    def apply(self, images):
        changed = images.clone()
        for image in changed.flatten(1):
            image[int(image[0]) + 1] = self.number
            image[0] += 1
        return changed


def test_a_barrage_draws_numbers_subsets_and_orders_for_each_image(monkeypatch):
    numbers = range(1, len(Barrage.drawn) + 1)
    monkeypatch.setattr(Barrage, "_transforms", lambda self: [Marking(number=number) for number in numbers])
    found = seeded(Barrage(least=2, most=4), torch.zeros(600, 1, 1, 12)).flatten(1)
    counts = found[:, 0].long()
    assert set(counts.tolist()) == {2, 3, 4}
    assert all(abs(int((counts == count).sum()) - 200) < 50 for count in (2, 3, 4))
    lists = [tuple(row[1 : 1 + count].long().tolist()) for row, count in zip(found, counts, strict=True)]
    assert all(len(set(single)) == len(single) and 0 not in single for single in lists)
    for place in (0, 1):  # each transform is as likely as another, in each place
        places = [single[place] for single in lists]
        assert all(30 < places.count(number) < 110 for number in numbers)
    assert len(set(lists)) > 300


def test_parts_of_a_barrage_can_be_built():
    assert [TRANSFORMS.build(text).spec for text in Barrage.drawn] == list(Barrage.drawn)
