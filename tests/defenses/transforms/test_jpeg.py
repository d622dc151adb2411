import pytest
import torch

from defenses.transforms import TRANSFORMS


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("quality", [30, 75])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_against_torchvision(draw, channels, quality):
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


def test_jpeg_codes_two_channels_as_two_gray_images(draw):
    images, jpeg = draw(2), TRANSFORMS.build("jpeg")
    alone = [jpeg.apply(images[:, channel : channel + 1]) for channel in (0, 1)]
    assert torch.equal(jpeg.apply(images), torch.cat(alone, 1))
