"""Letters of several scripts in 12 font faces: many fine-grained classes without a download.

matplotlib ships the DejaVu fonts. A class is a letter; an image is the letter in one of 12 faces, slightly
rotated, sheared, scaled and shifted. `select_glyphs` chose the letters, which `glyphs_classes.txt` lists.
"""

from __future__ import annotations

import hashlib
import math
import random
import re
import unicodedata
from functools import cache as memoise
from io import BytesIO
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import numpy.typing as npt
import PIL
import torch
from PIL import Image, ImageDraw, ImageFont
from pydantic import Field, field_validator

from benchmark.core.code import code_digest
from benchmark.core.errors import BenchmarkError
from benchmark.core.seeding import derive_seed
from benchmark.data.base import DATASETS, Dataset, Folders, ImageSet, Split
from benchmark.data.cache import cached, fingerprint

CLASSES_FILE = Path(__file__).with_name("glyphs_classes.txt")
"""The letters, in the order in which classes use them; a line is `U+0041 LATIN CAPITAL LETTER A`."""

MAX_CLASSES = 600
"""The number of letters in the list."""

FACES = tuple(
    f"DejaVu{family}{style}"
    for family, styles in {
        "Sans": ("", "-Bold", "-Oblique", "-BoldOblique"),
        "SansMono": ("", "-Bold", "-Oblique", "-BoldOblique"),
        "Serif": ("", "-Bold", "-Italic", "-BoldItalic"),
    }.items()
    for style in styles
)
"""The names of the 12 text faces."""

MAX_PER_CLASS = 1000
"""The largest number of images of one class; ids depend on it."""

_ROTATION = math.radians(15)
_SHEAR = 0.2
_SCALE = (0.75, 1.0)
_SHIFT = 2 / 28  # of the image's side
_LETTER = 22 / 28  # the longer side of a letter at scale 1, of the image's side
_SUPERSAMPLING = 4
_FONT_SIZE = 96  # in pixels: about the size at which a letter is sampled for 28 x 28


def face_path(face: str) -> Path:
    """Return the font file of a face.

    Raises:
        BenchmarkError: when matplotlib does not include it.
    """
    import matplotlib

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{face}.ttf"
    if not path.is_file():
        raise BenchmarkError(f"The font file {path} is missing: reinstall matplotlib with its fonts.")
    return path


@memoise
def _source_digest() -> str:
    return code_digest(Path(__file__))


@memoise
def _font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    try:
        # Given a path that it cannot read, Pillow would silently use a system font of that name. The basic
        # layout engine is in every build of Pillow; Raqm, the default where present, could change pixels.
        return ImageFont.truetype(BytesIO(path.read_bytes()), size, layout_engine=ImageFont.Layout.BASIC)
    except OSError as error:
        raise BenchmarkError(f"The font file {path} cannot be read: {error}.") from None


def draw_letter(face: str, code_point: int, font_size: int) -> Image.Image:
    """Draw a letter, white on black, cropped to its ink.

    Args:
        face: one of `FACES`.
        code_point: the letter; it must have ink.
        font_size: in pixels.

    Returns:
        A grey image of the size of the letter.

    Raises:
        BenchmarkError: when the font file is missing or damaged.
    """
    font = _font(face_path(face), font_size)
    left, top, right, bottom = (int(edge) for edge in font.getbbox(chr(code_point)))
    image = Image.new("L", (right - left + 4, bottom - top + 4))
    ImageDraw.Draw(image).text((2 - left, 2 - top), chr(code_point), fill=255, font=font)
    return image.crop(image.getbbox())


def read_classes(path: Path = CLASSES_FILE) -> list[int]:
    """Read the code points of a class list, in its order.

    Raises:
        BenchmarkError: when the file is missing, or a line of it is malformed or repeated.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BenchmarkError(f"The class list {path} cannot be read: {error}.") from None
    code_points: dict[int, None] = {}
    for number, line in enumerate(lines, start=1):
        match = re.fullmatch(r"U\+([0-9A-F]{4,5}) (.+)", line)
        code_point = int(match.group(1), 16) if match else -1
        if not match or unicodedata.name(chr(code_point), "") != match.group(2) or code_point in code_points:
            raise BenchmarkError(
                f"Line {number} of {path}, '{line}', is malformed or repeated: write each letter once, as in "
                "'U+0041 LATIN CAPITAL LETTER A'."
            )
        code_points[code_point] = None
    return list(code_points)


@DATASETS.register("glyphs")
class Glyphs(Dataset):
    """Letters of five scripts in 12 faces of the DejaVu fonts, rotated, sheared, scaled and shifted.

    The first half of the classes is for training, the second half for testing. The order of the letters is
    random and fixed, so any number of classes is a fair mix of scripts. An image depends only on `seed`,
    `size`, its letter and its number: a larger data set contains the images of a smaller one.

    Images are uint8 in [0, 255], shape (n, 1, size, size), white on black.

    Attributes:
        classes: the number of letters, even.
        per_class: the number of images of each letter.
        size: the side of an image in pixels.
        seed: the seed of the data set; a training seed never changes the data.
    """

    headline_eps: ClassVar[dict[str, float]] = {"linf": 0.1, "l2": 1.5}

    classes: Annotated[int, Field(ge=8, le=MAX_CLASSES)] = 136
    per_class: Annotated[int, Field(ge=2, le=MAX_PER_CLASS)] = 20
    size: Annotated[int, Field(ge=16, le=128)] = 28
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0

    @field_validator("classes")
    @classmethod
    def _even(cls, classes: int) -> int:
        if classes % 2:
            raise ValueError("must be even: one half is for training, the other for testing")
        return classes

    def read(self, folders: Folders) -> Split:
        """Draw the images, or read them from the cache when they were drawn before.

        Raises:
            BenchmarkError: when a font file or the class list is missing or damaged, or when the cache
                cannot be written.
        """
        letters = read_classes()
        if len(letters) < self.classes:
            raise BenchmarkError(
                f"The class list {CLASSES_FILE} has {len(letters)} letters instead of {self.classes}."
            )
        letters = letters[: self.classes]
        file = folders.cache / f"glyphs-{self.fingerprint(folders)}.safetensors"
        images = cached(file, lambda: {"images": self._draw(letters)})["images"]

        labels = torch.arange(self.classes).repeat_interleave(self.per_class)
        numbers = torch.arange(self.per_class).repeat(self.classes)
        ids = torch.tensor(letters)[labels] * MAX_PER_CLASS + numbers
        half = self.classes // 2
        all_images = ImageSet(images, labels, ids)
        return Split(
            train=all_images.of_classes(torch.arange(half)),
            test=all_images.of_classes(torch.arange(half, self.classes)),
        )

    def fingerprint(self, folders: Folders) -> str:
        """Return a hash of the parameters, the class list, this source and the versions of the libraries."""
        import matplotlib

        parameters = {key: getattr(self, key) for key in ("classes", "per_class", "size", "seed")}
        sources = [_source_digest(), hashlib.sha256(CLASSES_FILE.read_bytes()).hexdigest()]
        return fingerprint(parameters, sources, matplotlib.__version__, PIL.__version__)

    def missing(self, folders: Folders) -> str | None:
        """Return why the data set cannot be drawn on this machine, or None when it can."""
        try:
            read_classes()
            for face in FACES:
                face_path(face)
        except BenchmarkError as error:
            return str(error)
        return None

    def _draw(self, letters: list[int]) -> torch.Tensor:
        """Draw every image, letter by letter, uint8, shape (letters * per_class, 1, size, size)."""
        images = np.empty((len(letters), self.per_class, 1, self.size, self.size), dtype=np.uint8)
        for row, letter in enumerate(letters):
            drawn: dict[str, Image.Image] = {}
            for index in range(self.per_class):
                # Python guarantees the stream of `random()` across versions; NumPy's generators do not.
                rng = random.Random(derive_seed("glyphs", self.seed, letter, index))
                face = FACES[int(rng.random() * len(FACES))]
                if face not in drawn:
                    drawn[face] = draw_letter(face, letter, _FONT_SIZE)
                images[row, index, 0] = _distort(drawn[face], self.size, rng)
        return torch.from_numpy(images).flatten(0, 1)


def _distort(letter: Image.Image, size: int, rng: random.Random) -> npt.NDArray[np.uint8]:
    """Draw a randomly distorted letter into an image of shape (size, size), without cutting it off."""
    angle = (2 * rng.random() - 1) * _ROTATION
    shear = (2 * rng.random() - 1) * _SHEAR
    scale = _SCALE[0] + (_SCALE[1] - _SCALE[0]) * rng.random()
    shift = [(2 * rng.random() - 1) * _SHIFT * size for _ in range(2)]

    cosine, sine = math.cos(angle), math.sin(angle)
    matrix = np.array([[cosine, -sine], [sine, cosine]]) @ np.array([[1.0, shear], [0.0, 1.0]])
    matrix *= scale * _LETTER * size / max(letter.size)
    # Half the sides of the distorted letter's bounding box; a border of half a pixel is left free.
    half = np.abs(matrix) @ np.array(letter.size) / 2
    room = size / 2 - 0.5
    shrink = min(1.0, room / half.max())
    matrix, half = matrix * shrink, half * shrink
    offset = np.clip(shift, half - room, room - half)

    # Pillow maps each point of the output to a point of the input.
    inverse = np.linalg.inv(matrix * _SUPERSAMPLING)
    side = size * _SUPERSAMPLING
    origin = np.array(letter.size) / 2 - inverse @ (side / 2 + offset * _SUPERSAMPLING)
    data = (*inverse[0], origin[0], *inverse[1], origin[1])
    large = letter.transform((side, side), Image.Transform.AFFINE, data, Image.Resampling.BILINEAR)
    return np.asarray(large.reduce(_SUPERSAMPLING))
