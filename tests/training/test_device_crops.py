import pytest
import torch

from benchmark.data import ImageSet
from benchmark.training import Recipe
from benchmark.training.batches import Batches
from benchmark.training.crops import draw_crops, random_crops
from benchmark.training.device_crops import crop_on_device

from ..simulated_device import OTHER, TwoDevices, inner
from .test_crops import generator, packed_of

INDICES = torch.tensor([2, 0, 1, 2, 0, 1, 2, 2])


def smooth(height, width):
    """A picture with edges and gradients."""
    coarse = torch.rand(1, 3, 6, 8, generator=generator(height))
    return (255 * torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")[0]).byte()


def pictures(kind):
    if kind == "packed":
        return packed_of([smooth(40, 60), smooth(90, 40), smooth(33, 200)], 32)
    stored = torch.stack([smooth(32, 32), smooth(32, 32).flip(1), smooth(32, 32).flip(2)])
    return stored if kind == "uint8" else stored.float() / 255


@pytest.mark.parametrize("kind", ["packed", "uint8", "float32"])
@pytest.mark.parametrize(("min_area", "flip"), [(0.1, True), (1.0, False), (None, True), (None, False)])
def test_crops_are_those_of_the_cpu_but_for_rounding(kind, min_area, flip):
    images = pictures(kind)
    for seed in range(4):
        expected = random_crops(images, INDICES, min_area, flip, generator(seed))
        drawn = draw_crops(images, INDICES, min_area, flip, generator(seed))
        found = crop_on_device(images.to("cpu"), INDICES, drawn)
        assert found.dtype == expected.dtype and found.shape == expected.shape
        difference = (found.double() - expected.double()).abs()
        if kind == "float32":
            assert difference.max() < 1e-5
        else:
            assert difference.max() <= 2
            assert (difference > 1).double().mean() < 0.001 and difference.mean() < 0.3
        if min_area is None:
            assert difference.max() == 0


def test_drawing_takes_the_draws_that_cropping_takes():
    one, other = generator(), generator()
    random_crops(pictures("packed"), INDICES, 0.2, True, one)
    draw_crops(pictures("packed"), INDICES, 0.2, True, other)
    assert torch.equal(one.get_state(), other.get_state())


def test_packed_images_are_copied_without_the_others_of_their_file():
    images = pictures("packed").select(torch.tensor([2, 0]))
    copied = images.to("cpu")
    assert images.nbytes == copied.nbytes == 3 * (33 * 200 + 40 * 60) == len(copied._pixels)
    for row in range(2):
        assert torch.equal(copied.whole(row), images.whole(row))
    assert torch.equal(copied[torch.arange(2)], images[torch.arange(2)])


@pytest.mark.parametrize("kind", ["packed", "uint8", "float32"])
@pytest.mark.parametrize(
    "recipe", [Recipe(crop=0.3, flip=True, shift=0), Recipe(shift=2), Recipe(flip=True, shift=1)]
)
def test_batches_are_the_same_on_the_device_and_off_it(kind, recipe):
    images = pictures(kind)
    data = ImageSet(images, torch.arange(3), torch.arange(3))

    def epoch(device, memory):
        torch.manual_seed(5)
        found = list(Batches(data, recipe, device, memory).epoch(INDICES, 4, 0))
        return [inner(batch) for batch, _ in found], torch.rand(2)

    expected, after = epoch("cpu", 0)
    with TwoDevices():
        for memory in (0, images.nbytes - 1, images.nbytes):
            found, drawn = epoch(OTHER, memory)
            assert torch.equal(drawn, after)
            exact = recipe.crop is None or memory < images.nbytes
            for one, other in zip(found, expected, strict=True):
                assert (one - other).abs().max() <= (0 if exact else 2.01 / 255)
