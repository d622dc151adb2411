import pytest
import torch

from benchmark.training.augment import random_shift


def shifted(image, down, right):
    """Shifts by a loop over the pixels; vacated pixels are black."""
    found = torch.zeros_like(image)
    channels, height, width = image.shape
    for c in range(channels):
        for row in range(height):
            for column in range(width):
                if 0 <= row - down < height and 0 <= column - right < width:
                    found[c, row, column] = image[c, row - down, column - right]
    return found


@pytest.mark.parametrize("pixels", [1, 2])
def test_each_image_is_shifted_by_its_own_whole_pixels(pixels):
    moves = [(d, r) for d in range(-pixels, pixels + 1) for r in range(-pixels, pixels + 1)]
    image = 0.1 + torch.rand(2, 5, 6)
    every = torch.stack([shifted(image, *move) for move in moves])
    found = random_shift(image.repeat(600, 1, 1, 1), pixels)
    assert found.shape == (600, 2, 5, 6)
    matches = (found.unsqueeze(1) == every).flatten(2).all(2)
    assert (matches.sum(1) == 1).all()
    drawn = matches.sum(0)
    assert drawn.min() > 0.4 * 600 / len(moves)
    assert drawn.max() < 1.8 * 600 / len(moves)


def test_images_are_not_mixed_up():
    images = (1 + torch.arange(50.0)).view(-1, 1, 1, 1).expand(50, 1, 4, 4)
    found = random_shift(images, 1)
    assert torch.equal(found.flatten(1).amax(1), 1 + torch.arange(50.0))


def test_a_shift_of_zero_changes_nothing_and_draws_nothing():
    images = torch.rand(3, 1, 4, 4)
    state = torch.get_rng_state()
    assert torch.equal(random_shift(images, 0), images)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_input_images_are_not_changed():
    images = torch.rand(3, 1, 4, 4)
    before = images.clone()
    random_shift(images, 2).add_(1)
    assert torch.equal(images, before)
