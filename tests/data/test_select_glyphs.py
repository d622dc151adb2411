import numpy as np
import pytest

from benchmark.data.glyphs import FACES, read_classes
from benchmark.data.select_glyphs import bitmap, distinct, in_all_faces, is_candidate


def naive_distinct(bitmaps, threshold):
    kept = []
    for row, letter in enumerate(bitmaps):
        differs = True
        for other in kept:
            for face in range(len(letter)):
                if np.mean(np.abs(letter[face] - bitmaps[other][face])) < threshold:
                    differs = False
        if differs:
            kept.append(row)
    return kept


def test_distinct_agrees_with_naive_loops():
    bitmaps = np.random.default_rng(0).random((30, 3, 4)).astype(np.float32)
    kept = distinct(bitmaps, threshold=0.2)
    assert kept == naive_distinct(bitmaps, threshold=0.2)
    assert 1 < len(kept) < 30


def test_alike_in_one_face_is_alike():
    bitmaps = np.zeros((3, 2, 4), dtype=np.float32)
    bitmaps[1, 0] = 1
    bitmaps[2] = 1
    assert distinct(bitmaps) == [0, 2]


@pytest.mark.parametrize(
    ("character", "wanted"), [("A", True), ("ж", True), ("ა", True), ("1", False), ("ﬁ", False)]
)
def test_candidates_are_letters_of_the_five_scripts(character, wanted):
    assert is_candidate(ord(character)) is wanted


def test_bitmap_is_centred_and_scaled_to_its_box():
    image = bitmap("DejaVuSans", ord("E"))
    rows, columns = np.nonzero(image)
    assert image.shape == (24, 24)
    assert (rows.min(), rows.max()) == (3, 20)
    assert abs(columns.min() - (23 - columns.max())) <= 1
    assert 0 <= image.min() < image.max() <= 1


def test_the_list_holds_candidates_that_differ():
    listed = read_classes()
    assert set(listed) <= in_all_faces()
    assert all(map(is_candidate, listed))
    # All 600 take seconds; any part of them must differ as well.
    part = sorted(listed[:60])
    assert distinct(np.array([[bitmap(face, letter).ravel() for face in FACES] for letter in part])) == list(
        range(60)
    )
