"""Decoding the image files of folders."""

import numpy as np
import pytest
from PIL import Image

from benchmark.core.errors import BenchmarkError
from benchmark.data import image_files

from .image_folders import SIZE, colour_of, make_class


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPEG", ".bmp", ".WebP", ".PNG"])
def test_every_format(root, suffix):
    folder = make_class(root, "more", 2, suffix)
    assert len(image_files.image_files(folder)) == 2
    image = image_files.decode(folder / f"1{suffix}", SIZE, grey=False)
    assert np.abs(image[:, 0, 0].astype(int) - colour_of("more", 1)).max() <= 8


def mode_image(mode):
    """An image whose left half is dark and whose right half is light, 200 of 255, in a mode."""
    grey = Image.new("L", (SIZE, SIZE), 0)
    grey.paste(200, (SIZE // 2, 0, SIZE, SIZE))
    if mode == "I;16":
        return Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    if mode == "1":
        return grey.point(lambda value: 255 * (value > 0)).convert("1")
    return grey.convert("RGB").convert(mode)


@pytest.mark.parametrize("grey", [True, False])
@pytest.mark.parametrize(
    ("mode", "suffix"), [("1", "png"), ("L", "png"), ("P", "png"), ("I;16", "png"), ("CMYK", "jpg")]
)
def test_modes(tmp_path, mode, suffix, grey):
    mode_image(mode).save(tmp_path / f"0.{suffix}")
    image = image_files.decode(tmp_path / f"0.{suffix}", None, grey)
    assert image.shape == (1 if grey else 3, SIZE, SIZE) and image.dtype == np.uint8
    light = 255 if mode == "1" else 200
    assert np.abs(image[:, :, 0].astype(int)).max() <= 8
    assert np.abs(image[:, :, -1].astype(int) - light).max() <= 8


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_laid_over_white(tmp_path, mode):
    image = Image.new("LA" if mode == "LA" else "RGBA", (2, 1))
    image.putpixel((1, 0), (0, 255) if mode == "LA" else (0, 0, 0, 255))
    if mode == "P":
        image = image.quantize(4)
    image.save(tmp_path / "0.png")
    assert image_files.decode(tmp_path / "0.png", None, grey=True).tolist() == [[[255, 0]]]


def test_turned_photographs_are_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    Image.new("L", (20, 12)).save(tmp_path / "0.jpg", exif=exif)
    assert image_files.decode(tmp_path / "0.jpg", None, grey=True).shape == (1, 20, 12)


def test_scales_the_centre_square(tmp_path):
    pixels = np.zeros((16, 48), dtype=np.uint8)
    pixels[:, 16:32] = np.indices((16, 16)).sum(0) % 2 * 255  # averages to grey if and only if antialiased
    pixels[:, :16] = 255
    Image.fromarray(pixels).save(tmp_path / "0.png")
    image = image_files.decode(tmp_path / "0.png", 4, grey=True)
    assert image.shape == (1, 4, 4) and np.abs(image.astype(int) - 127).max() < 30


def test_a_link_that_leads_nowhere_is_an_error(root):
    folder = make_class(root, "more", 2, ".png")
    (folder / "2.png").symlink_to(root / "unmounted" / "2.png")
    with pytest.raises(BenchmarkError, match=r"The link .*2\.png leads nowhere"):
        image_files.image_files(folder)
    (folder / "2.png").unlink()
    (root / "whole_class").symlink_to(root / "unmounted")
    with pytest.raises(BenchmarkError, match="whole_class leads nowhere"):
        image_files.class_folders(root)
