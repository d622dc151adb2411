import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from defenses.transforms import resize_pad as module
from defenses.transforms.resize_pad import resize_and_pad

IMAGES = torch.rand(3, 2, 8, 8, generator=torch.Generator().manual_seed(0))


def resized(images, scale, x, y):
    count = len(images)
    return resize_and_pad(images, torch.full((count,), scale), torch.tensor([[x, y]]).repeat(count, 1))


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (0.5, 1.0), (0.3, 0.7)])
def test_the_full_scale_changes_nothing(x, y):
    torch.testing.assert_close(resized(IMAGES, 1.0, x, y), IMAGES)


@pytest.mark.parametrize(("x", "left"), [(0.0, 0), (0.5, 2), (1.0, 4)])
@pytest.mark.parametrize(("y", "top"), [(0.0, 0), (0.5, 2), (1.0, 4)])
def test_half_the_size_against_interpolation_and_padding(x, left, y, top):
    small = F.interpolate(IMAGES, size=(4, 4), mode="bilinear", align_corners=False)
    expected = torch.zeros_like(IMAGES)
    expected[:, :, top : top + 4, left : left + 4] = small
    torch.testing.assert_close(resized(IMAGES, 0.5, x, y), expected)


@given(scale=st.floats(0.3, 1.0), x=st.floats(0, 1), y=st.floats(0, 1))
def test_size_and_position_on_a_canvas_of_the_original_size(scale, x, y):
    result = resized(torch.ones(1, 1, 10, 20), scale, x, y)[0, 0]
    assert result.shape == (10, 20)
    assert result.min() >= 0 and result.max() <= 1 + 1e-5
    # An edge is blurred over half a pixel of the large image, that is scale / 2 of the small one.
    for values, length, position in ((result.amax(1), 10, y), (result.amax(0), 20, x)):
        first = position * (1 - scale) * length
        centers = torch.arange(length) + 0.5
        outside = (centers - first < -scale / 2 - 1e-4) | (
            centers - first > scale * length + scale / 2 + 1e-4
        )
        inside = (centers - first > scale / 2 + 1e-4) & (centers - first < scale * length - scale / 2 - 1e-4)
        assert (values[outside] < 1e-4).all()
        assert (values[inside] > 1 - 1e-3).all()


@given(seed=st.integers(0, 100))
def test_each_image_gets_a_transform_of_its_own_and_stays_in_the_range(seed):
    torch.manual_seed(seed)
    images, scales, positions = torch.rand(4, 1, 6, 6).round(), 0.5 + 0.5 * torch.rand(4), torch.rand(4, 2)
    result = resize_and_pad(images, scales, positions)
    assert result.min() >= -1e-6 and result.max() <= 1 + 1e-6
    for i in range(4):
        alone = resize_and_pad(images[i : i + 1], scales[i : i + 1], positions[i : i + 1])
        torch.testing.assert_close(result[i : i + 1], alone)


def test_gradients_agree_with_finite_differences():
    images = torch.rand(2, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    scales, positions = torch.tensor([0.83, 0.61], dtype=torch.float64), torch.rand(2, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: resize_and_pad(x, scales, positions), images)


@pytest.mark.parametrize("smallest", [0.5, 0.9])
def test_scales_and_positions_are_drawn_over_their_whole_range(images, monkeypatch, smallest):
    drawn = []
    original = module.resize_and_pad
    monkeypatch.setattr(module, "resize_and_pad", lambda *args: drawn.append(args[1:]) or original(*args))
    module.ResizePad(smallest=smallest).apply(images.images.repeat(20, 1, 1, 1))
    ((scales, positions),) = drawn
    assert smallest <= scales.min() < smallest + 0.02 * (1 - smallest)
    assert 1 - 0.02 * (1 - smallest) < scales.max() <= 1
    assert positions.shape == (1920, 2)
    assert positions.min() < 0.02 and positions.max() > 0.98
    assert len(scales.unique()) > 1500
