"""Select the letters of `glyphs` and write its class list: `python -m benchmark.data.select_glyphs`.

Candidates are the Latin, Greek, Cyrillic, Armenian and Georgian letters (Unicode categories Lu, Ll and Lo,
without compatibility forms such as ligatures) that all 12 faces have: 1,310 with the fonts of matplotlib
3.11.

Many of them look alike: A is also a Greek and a Cyrillic letter, and many accents differ by a few pixels.
Every candidate is therefore drawn in each face, cropped to its ink, scaled until its longer side is three
quarters of a square of 24 x 24 pixels, and centered in it. In the order of their code points, a letter is
kept if it differs from every letter kept before, in every face, by a mean absolute difference of at least
0.03 (white is 1). Every face counts because each image uses a random one: letters that look alike in one
face would share images. This keeps 600. For comparison: when the letter fills the square, 1,015 of all
1,378 letters (title case, modifiers and compatibility forms included) differ in DejaVu Sans, and 839 in
every face.

The letters kept are written in a random order, so that every prefix of the list is a fair mix of scripts.
"""

from __future__ import annotations

import logging
import random
import unicodedata

import numpy as np
import numpy.typing as npt
from matplotlib.ft2font import FT2Font
from PIL import Image

from benchmark.core.seeding import derive_seed
from benchmark.data.glyphs import CLASSES_FILE, FACES, draw_letter, face_path

SCRIPTS = ("LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "GEORGIAN")
SQUARE = 24
LONGER_SIDE = 18
THRESHOLD = 0.03
FONT_SIZE = 48

_log = logging.getLogger(__name__)


def in_all_faces() -> set[int]:
    """Return the code points that all 12 faces have."""
    return set.intersection(*(set(FT2Font(str(face_path(face))).get_charmap()) for face in FACES))


def is_candidate(code_point: int) -> bool:
    """Return whether a code point is a letter of the five scripts, and not a compatibility form."""
    character = chr(code_point)
    return (
        unicodedata.category(character) in ("Lu", "Ll", "Lo")
        and unicodedata.name(character, "").split(" ")[0] in SCRIPTS
        and not unicodedata.decomposition(character).startswith("<")
    )


def bitmap(face: str, code_point: int) -> npt.NDArray[np.float32]:
    """Draw a letter scaled to its box and centered, shape (24, 24), values in [0, 1]."""
    letter = draw_letter(face, code_point, FONT_SIZE)
    factor = LONGER_SIDE / max(letter.size)
    width, height = (max(1, round(side * factor)) for side in letter.size)
    square = Image.new("L", (SQUARE, SQUARE))
    scaled = letter.resize((width, height), Image.Resampling.BILINEAR)
    square.paste(scaled, ((SQUARE - width) // 2, (SQUARE - height) // 2))
    return np.asarray(square).astype(np.float32) / np.float32(255)


def distinct(bitmaps: npt.NDArray[np.float32], threshold: float = THRESHOLD) -> list[int]:
    """Keep each letter that differs from all letters kept before it, in every face.

    Args:
        bitmaps: letters in their faces, shape (letters, faces, pixels), values in [0, 1].
        threshold: the smallest mean absolute difference of two bitmaps that differ.

    Returns:
        The indices of the letters kept, in ascending order.
    """
    kept: list[int] = []
    for row in range(len(bitmaps)):
        differences = np.abs(bitmaps[kept] - bitmaps[row]).mean(axis=-1)
        if (differences >= threshold).all():
            kept.append(row)
    return kept


def select() -> list[int]:
    """Return the code points of the letters kept, in the order of the class list."""
    candidates = sorted(filter(is_candidate, in_all_faces()))
    drawn = [[bitmap(face, code_point).ravel() for face in FACES] for code_point in candidates]
    letters = [candidates[row] for row in distinct(np.array(drawn))]
    _log.info("%d letters of %d candidates", len(letters), len(candidates))
    random.Random(derive_seed("glyphs", "order")).shuffle(letters)
    return letters


def main() -> None:
    """Write the class list."""
    lines = [f"U+{code_point:04X} {unicodedata.name(chr(code_point))}\n" for code_point in select()]
    CLASSES_FILE.write_text("".join(lines), encoding="utf-8", newline="\n")
    _log.info("written to %s", CLASSES_FILE)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main()
