"""Pixels of photographs of every format and mode, and what is refused."""

import numpy as np
import pytest
from PIL import Image

from benchmark.core.errors import BenchmarkError
from benchmark.data.image_files import MAX_ASPECT_RATIO, SUFFIXES, check_headers, decode_scaled

WHITE, RED = (255, 255, 255), (200, 30, 60)


def saved(image, file, **options):
    image.save(file, **options)
    return file


def decoded(file, shorter=8):
    return decode_scaled(file, shorter)


def of_one_colour(file):
    """The colour of an image that has but one."""
    pixels = decoded(file)
    assert pixels.dtype == np.uint8 and pixels.shape[0] == 3 and min(pixels.shape[1:]) == 8
    assert (pixels == pixels[:, :1, :1]).all()
    return tuple(pixels[:, 0, 0].tolist())


def plain(mode, colour):
    return Image.new(mode, (12, 10), colour)


def palette(transparent):
    image = Image.new("P", (12, 10), 1)
    image.putpalette([0, 0, 0, *RED])
    if transparent:
        image.info["transparency"] = 1
    return image


def deep(value):
    return Image.fromarray(np.full((10, 12), value, np.uint16))


@pytest.mark.parametrize(
    ("image", "name", "colour"),
    [
        (plain("RGB", RED), "a.png", RED),
        (plain("RGB", RED), "a.bmp", RED),
        (plain("L", 77), "a.png", (77, 77, 77)),
        (plain("L", 77), "a.jpg", (77, 77, 77)),
        (plain("1", 1), "a.png", WHITE),
        (plain("LA", (77, 0)), "a.png", WHITE),
        (plain("RGBA", (*RED, 255)), "a.png", RED),
        (plain("RGBA", (*RED, 0)), "a.png", WHITE),
        (plain("RGBA", (0, 100, 200, 51)), "a.png", (204, 224, 244)),
        (palette(False), "a.png", RED),
        (palette(True), "a.png", WHITE),
        (palette(False), "a.gif", RED),
        (palette(True), "a.gif", WHITE),
        (deep(257 * 130), "a.png", (130, 130, 130)),
        (deep(65_535), "a.png", WHITE),
        (plain("CMYK", (0, 0, 0, 0)), "a.jpg", WHITE),
        (plain("CMYK", (0, 0, 0, 255)), "a.jpg", (0, 0, 0)),
    ],
)
def test_pixels(image, name, colour, tmp_path):
    assert of_one_colour(saved(image, tmp_path / name)) == colour


def test_the_first_frame_of_a_gif_that_is_named_jpg(tmp_path):
    file = tmp_path / "231588927256_1.JPG"
    later = [plain("RGB", colour) for colour in ("blue", "lime")]
    plain("RGB", RED).save(file, format="GIF", save_all=True, append_images=later)
    check_headers([file])
    assert of_one_colour(file) == RED
    assert ".gif" not in SUFFIXES


@pytest.mark.parametrize(("size", "scaled"), [((60, 30), (8, 16)), ((30, 60), (16, 8)), ((4, 5), (10, 8))])
def test_the_shorter_side_is_scaled(size, scaled, tmp_path):
    assert decoded(saved(Image.new("RGB", size), tmp_path / "a.png")).shape[1:] == scaled


CORNERS = np.zeros((8, 12, 3), np.uint8)
CORNERS[:4, :4] = RED


def with_orientation(value, file):
    exif = Image.Exif()
    exif[0x0112] = value
    return saved(Image.fromarray(CORNERS), file, exif=exif)


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (1, lambda image: image),
        (2, np.fliplr),
        (3, lambda image: np.rot90(image, 2)),
        (4, np.flipud),
        (5, lambda image: image.transpose(1, 0, 2)),
        (6, lambda image: np.rot90(image, -1)),
        (7, lambda image: np.rot90(image, 2).transpose(1, 0, 2)),
        (8, np.rot90),
    ],
)
def test_what_the_camera_turned_is_turned_back(orientation, turn, tmp_path):
    pixels = decoded(with_orientation(orientation, tmp_path / "a.png"))
    assert (pixels == turn(CORNERS).transpose(2, 0, 1)).all()


@pytest.mark.parametrize("value", [99, 0])
def test_an_orientation_that_cannot_be_is_passed_over(value, tmp_path):
    pixels = decoded(with_orientation(value, tmp_path / "a.png"))
    assert (pixels == CORNERS.transpose(2, 0, 1)).all()


@pytest.mark.parametrize(
    "data",
    [
        b"no tags",
        b"II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x04\0\0\0up?\0\0\0\0\0",  # text
        b"II*\0\x08\0\0\0\x01\0\x12\x01\x07\0\x04\0\0\0\6\6\6\6\0\0\0\0",  # bytes
    ],
)
def test_an_orientation_that_cannot_be_read_is_passed_over(data, tmp_path):
    file = saved(Image.fromarray(CORNERS), tmp_path / "a.png", exif=b"Exif\0\0" + data)
    assert (decoded(file) == CORNERS.transpose(2, 0, 1)).all()


def noisy(file):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 100, 3), np.uint8)).save(file)
    return file


def test_a_photograph_with_truncated_data(tmp_path):
    file = noisy(tmp_path / "a.jpg")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    check_headers([file])
    with pytest.raises(
        BenchmarkError, match=r"a.jpg cannot be decoded \(image file is truncated.*replace it"
    ):
        decoded(file)


def test_headers_tell_how_many_are_damaged_and_the_first_of_them(tmp_path):
    files = [noisy(tmp_path / f"{number}.jpg") for number in range(4)]
    check_headers(files)
    files[1].write_bytes(files[1].read_bytes()[:10])
    files[2].write_bytes(b"")
    files[3].unlink()
    with pytest.raises(BenchmarkError, match=r"1.jpg \(and 2 others\) cannot be read: "):
        check_headers(files)
    with pytest.raises(BenchmarkError, match=r"3.jpg cannot be read: it is missing; unpack"):
        check_headers(files[3:])


def test_a_strip_is_refused_before_it_is_scaled(tmp_path):
    file = saved(Image.new("RGB", (2 * MAX_ASPECT_RATIO + 1, 2)), tmp_path / "a.png")
    with pytest.raises(
        BenchmarkError, match=rf"cannot be read: it is a strip of {2 * MAX_ASPECT_RATIO + 1} x 2 pixels"
    ):
        check_headers([file])
    with pytest.raises(BenchmarkError, match="it is a strip of"):
        decoded(file)
    assert decoded(saved(Image.new("RGB", (2 * MAX_ASPECT_RATIO, 2)), file)).shape == (
        3,
        8,
        8 * MAX_ASPECT_RATIO,
    )
