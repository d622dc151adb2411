import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.v2.functional import resize

from benchmark.data.packed import PackedImages
from benchmark.training.crops import random_box, random_crops


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.floats(0.01, 1.0),
    st.integers(0, 2**31),
)
def test_a_box_lies_within_the_image(height, width, min_area, seed):
    top, left, high, wide = random_box(height, width, min_area, generator(seed))
    assert high > 0 and wide > 0 and top >= 0 and left >= 0
    assert top + high <= height and left + wide <= width


def test_boxes_are_drawn_as_torchvision_draws_them():
    source, picture = generator(), torch.zeros(3, 256, 340)
    ours = [random_box(256, 340, 0.08, source) for _ in range(3000)]
    theirs = [RandomResizedCrop.get_params(picture, [0.08, 1], [3 / 4, 4 / 3]) for _ in range(3000)]
    ours, theirs = torch.tensor(ours).double(), torch.tensor(theirs).double()
    for measure in (
        lambda box: box[:, 2] * box[:, 3] / (256 * 340),
        lambda box: (box[:, 3] / box[:, 2]).log(),
        lambda box: box[:, 0],
        lambda box: box[:, 1],
    ):
        one, other = measure(ours), measure(theirs)
        error = (one.var() / 3000 + other.var() / 3000).sqrt()
        assert abs(one.mean() - other.mean()) < 4 * error
        assert abs(one.std() / other.std() - 1) < 0.1
        for extreme in (torch.amin, torch.amax):
            assert abs(extreme(one, 0) - extreme(other, 0)) < 0.05 * (other.max() - other.min())


@pytest.mark.parametrize(
    ("height", "width", "expected"), [(30, 300, (0, 130, 30, 40)), (300, 30, (130, 0, 40, 30))]
)
def test_an_picturethat_no_box_fits_gives_its_center(height, width, expected):
    assert random_box(height, width, 1.0, generator()) == expected


def gradient(height, width):
    """An image in which a pixel's color encodes its position."""
    rows = torch.linspace(0, 255, height).view(-1, 1).expand(height, width)
    columns = torch.linspace(0, 255, width).expand(height, width)
    return torch.stack([rows, columns, 0 * rows]).to(torch.uint8)


def packed_of(pictures, side):
    sizes = torch.tensor([picture.shape[1:] for picture in pictures])
    lengths = 3 * sizes.prod(1)
    flat = torch.cat([picture.flatten() for picture in pictures])
    return PackedImages(flat, lengths.cumsum(0) - lengths, sizes, side)


def test_a_crop_is_its_box_scaled_to_the_window():
    pictures = [gradient(40, 60), gradient(70, 40)]
    images = packed_of(pictures, 32)
    found = random_crops(images, torch.tensor([1, 0, 1]), 0.2, False, generator(5))
    assert found.shape == (3, 3, 32, 32) and found.dtype == torch.uint8
    source = generator(5)
    for position, row in enumerate((1, 0, 1)):
        top, left, high, wide = random_box(*pictures[row].shape[1:], 0.2, source)
        part = pictures[row][:, top : top + high, left : left + wide]
        assert torch.equal(found[position], resize(part, [32, 32], antialias=True))
    assert not torch.equal(found[0], found[2])


def test_without_a_crop_the_window_is_what_tests_see():
    images = packed_of([gradient(40, 60), gradient(70, 40)], 32)
    rows = torch.tensor([1, 0])
    assert torch.equal(random_crops(images, rows, None, False, generator()), images[rows])
    stored = torch.rand(4, 1, 8, 8)
    assert torch.equal(random_crops(stored, rows, None, False, generator()), stored[rows])


def test_a_crop_of_all_of_a_square_is_the_square():
    stored = torch.rand(1, 3, 16, 16)
    found = random_crops(stored, torch.zeros(50, dtype=torch.int64), 1.0, False, generator())
    assert (found - stored).abs().amax((1, 2, 3)).min() == 0


def test_half_are_mirrored_and_the_source_stays_as_it_was():
    stored = torch.rand(2, 3, 8, 8)
    before = stored.clone()
    rows = torch.arange(400) % 2
    found = random_crops(stored, rows, None, True, generator())
    mirrored = (found == stored[rows].flip(3)).flatten(1).all(1)
    straight = (found == stored[rows]).flatten(1).all(1)
    assert (mirrored ^ straight).all()
    assert 150 < int(mirrored.sum()) < 250
    assert torch.equal(stored, before)


def test_the_generator_is_the_only_source_of_randomness():
    images = packed_of([gradient(40, 60)] * 8, 32)
    state = torch.get_rng_state()
    first, second, other = (random_crops(images, torch.arange(8), 0.2, True, generator(s)) for s in (1, 1, 2))
    assert torch.equal(first, second) and not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)
