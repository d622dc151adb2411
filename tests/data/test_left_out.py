import pytest
from PIL import Image

from benchmark.data import DATASETS
from benchmark.data.left_out import left_out_images


@pytest.fixture
def folder(tmp_path):
    """Six classes of two images each."""
    root = tmp_path / "half"
    for name in "abcdef":
        (root / name).mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (28, 28), (40 * number, 0, 0)).save(root / name / f"{number}.png")
    return root


def notes(root):
    return left_out_images([DATASETS.build(f"folder:{root}")])


def test_a_folder_that_is_read_whole_has_no_note(folder):
    (folder / "a" / "notes.txt").write_text("no image")
    (folder / "a" / ".hidden.gif").write_text("hidden")
    (folder / ".cache").mkdir()
    assert notes(folder) == []
    assert left_out_images([DATASETS.build("glyphs")]) == []


def test_other_endings_are_counted_by_name(folder):
    for name, ending in (("a", "jfif"), ("b", "jfif"), ("b", "TIF"), ("c", "heic")):
        (folder / name / f"more.{ending}").write_text("")
    (note,) = notes(folder)
    assert note.startswith(
        "4 of 16 images in half: 1 ends in .heic, 2 end in .jfif, 1 ends in .tif. Only files"
    )
    assert ".jpeg, .jpg, .png" in note


def test_images_in_subfolders_of_a_class_are_counted(folder):
    (folder / "a" / "deep").mkdir()
    Image.new("RGB", (28, 28)).save(folder / "a" / "deep" / "0.png")
    (note,) = notes(folder)
    assert note.startswith("1 of 13 images in half: 1 is in a subfolder of a class. ")


def test_images_without_an_ending_and_beside_the_classes_are_counted(folder):
    (folder / "a" / "0.png").rename(folder / "a" / "0")
    (folder / "b" / "0.png").rename(folder / "b" / "0.png.1")
    (folder / "c" / "README").write_text("no image")
    (folder / "c" / "1.png").rename(folder / "loose.png")
    (note,) = notes(folder)
    assert note.startswith(
        "3 of 12 images in half: 2 have no ending, 1 is beside the classes' folders. Only files"
    )


def test_a_folder_that_is_not_there_says_so_elsewhere(tmp_path):
    assert notes(tmp_path / "none") == []
