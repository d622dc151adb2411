import math

import pytest
import torch

from benchmark.core.errors import UsageError
from defenses.transforms import TRANSFORMS, quilting
from defenses.transforms.quilting import nearest, soft_choice


def windows(image, size, step=1):
    """All square windows of an image, shape (C, H, W), row by row, flattened."""
    height, width = image.shape[1:]
    tops, lefts = range(0, height - size + 1, step), range(0, width - size + 1, step)
    return [image[:, y : y + size, x : x + size].flatten() for y in tops for x in lefts]


def test_nearest_patches_by_loops(monkeypatch):
    patches, stored = torch.rand(23, 12), torch.rand(40, 12)
    monkeypatch.setattr(quilting, "CHUNK", 200)  # five patches at a time
    found = nearest(patches, stored, 3)
    for patch, rows in zip(patches, found, strict=True):
        distances = [
            sum((a - b) ** 2 for a, b in zip(patch.tolist(), s.tolist(), strict=True)) for s in stored
        ]
        assert set(rows.tolist()) == set(sorted(range(40), key=distances.__getitem__)[:3])


@pytest.mark.parametrize("channels", [1, 3])
def test_stored_patches_are_patches_of_the_training_images(draw, channels):
    images = draw(channels, count=7, side=12)
    module = TRANSFORMS.build("quilting[patch=4,stored=100]").applied()
    module.learn(images)
    assert module.stored.shape == (100, channels * 16)
    known = {tuple(window.tolist()) for image in images for window in windows(image, 4)}
    taken = {tuple(patch.tolist()) for patch in module.stored}
    assert taken <= known
    assert len(taken) > 70  # at many positions
    kept = module.stored.clone()
    module.learn(draw(channels, count=7, side=12).flip(0))
    assert torch.equal(module.stored, kept)


def test_every_pixel_comes_from_a_drawn_patch_that_is_among_the_nearest(draw, monkeypatch):
    images = draw(count=2, side=11)
    module = TRANSFORMS.build("quilting[neighbours=3,stored=60]").applied()  # 5 x 5, in steps of 3
    module.learn(draw(3).mean(1, keepdim=True))
    tiles = []
    original = quilting.join
    monkeypatch.setattr(quilting, "join", lambda part, overlap: tiles.append(part) or original(part, overlap))
    quilted = module(images)
    rows = tiles[0].view(2, 3, 3, 5, 5)
    for image, chosen, found in zip(images, rows, quilted, strict=True):
        near = nearest(torch.stack(windows(image, 5, step=3)), module.stored, 3)
        for position, patch in enumerate(chosen.flatten(0, 1)):
            assert any(torch.equal(patch.flatten(), module.stored[row]) for row in near[position])
        for y in range(11):
            for x in range(11):
                over = [
                    chosen[i, j, y - 3 * i, x - 3 * j]
                    for i in range(3)
                    for j in range(3)
                    if 0 <= y - 3 * i < 5 and 0 <= x - 3 * j < 5
                ]
                assert found[0, y, x] in over


def test_the_soft_choice_by_loops_and_its_gradient(monkeypatch):
    monkeypatch.setattr(quilting, "SOFT", 6)
    patches, stored = torch.rand(5, 4, dtype=torch.float64), torch.rand(20, 4, dtype=torch.float64)
    for patch, found in zip(patches, soft_choice(patches, stored), strict=True):
        near = sorted((float((patch - other).square().sum()), other.tolist()) for other in stored)[:6]
        scale = 0.3 * sum(distance for distance, _ in near) / 6
        weights = [math.exp(-distance / scale) for distance, _ in near]
        columns = zip(*(other for _, other in near), strict=True)
        expected = [
            sum(w * x for w, x in zip(weights, column, strict=True)) / sum(weights) for column in columns
        ]
        assert found.tolist() == pytest.approx(expected)


def test_attacks_take_the_gradient_of_the_soft_choice(draw, seeded):
    module = TRANSFORMS.build("quilting").applied()
    module.learn(draw(side=5))
    image = draw(count=1, side=5).requires_grad_(True)
    passed = seeded(module.straight_through, image)
    torch.testing.assert_close(passed, seeded(module, image))
    target = torch.rand(1, 25)
    (gradient,) = torch.autograd.grad((passed.flatten(1) * target).sum(), image)
    (expected,) = torch.autograd.grad((soft_choice(image.flatten(1), module.stored) * target).sum(), image)
    torch.testing.assert_close(gradient, expected)
    assert gradient.abs().max() > 0


def test_draws_are_uniform_over_the_nearest(draw):
    module = TRANSFORMS.build("quilting[patch=4,neighbours=4,stored=64]").applied()
    module.learn(draw(side=12))
    image = draw(count=1, side=4)
    found = module(image.repeat(2000, 1, 1, 1)).flatten(1)
    near = module.stored[nearest(image.flatten(1), module.stored, 4)[0]]
    counts = [int((found == patch).all(1).sum()) for patch in near]
    assert sum(counts) == 2000 and all(abs(count - 500) < 90 for count in counts)


def test_a_stored_image_is_quilted_into_itself_by_the_nearest_patch_alone(draw, monkeypatch):
    image = draw(count=1, side=11)
    module = TRANSFORMS.build("quilting").applied()
    module.store(torch.stack(windows(image[0], 5)))
    monkeypatch.setattr(quilting, "nearest", lambda a, b, count: nearest(a, b, 1).expand(-1, count))
    torch.testing.assert_close(module(image), image)


@pytest.mark.parametrize("side", [3, 5, 9, 13])
def test_sizes_that_patches_do_not_fill_are_padded_and_cut_again(draw, side):
    images = draw(2, count=3, side=side)[..., :-1]
    module = TRANSFORMS.build("quilting").applied()
    assert module(images).shape == images.shape  # without stored patches too
    module.learn(images)
    assert module(images).shape == images.shape
    padded = module.quilting.padded(images)
    assert all(
        (length - 5) % 3 == 0 and 0 <= length - had < max(3, 5 - had + 1)
        for length, had in zip(padded.shape[2:], images.shape[2:], strict=True)
    )
    assert torch.equal(padded[..., :side, : side - 1], images)


def test_before_any_patch_is_stored_the_images_are_not_seen(draw, seeded):
    module = TRANSFORMS.build("quilting").applied()
    drawn = seeded(module, draw())
    assert drawn.min() >= 0 and drawn.max() <= 1 and len(drawn.unique()) <= 250


def test_it_does_nothing_without_its_patches(draw):
    with pytest.raises(NotImplementedError, match="applied"):
        TRANSFORMS.build("quilting").apply(draw())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("overlap=3", "at most 2, half of patch=5"),
        ("stored=9", "neighbours=10"),
        ("neighbours=1", "neighbours"),
    ],
)
def test_bad_parameters(text, message):
    with pytest.raises(UsageError, match=message):
        TRANSFORMS.build(f"quilting[{text}]")
