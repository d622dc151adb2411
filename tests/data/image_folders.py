"""Folders of small images in one colour each, that tells class and image apart."""

from pathlib import Path

import pytest
from PIL import Image

from benchmark.core.errors import BenchmarkError
from benchmark.data import DATASETS, Folders

NOWHERE = Folders(Path("nowhere"), Path("nowhere"))


def at(cache):
    return Folders(cache, cache / "data")


NAMES = [f"class{number}" for number in range(8)]
SIZE = 10
FIXED = ["class3", "class1", "class7", "class6"]
"""The training classes of seed 0."""


def colour_of(name, index):
    """A colour that tells class and image apart: names are hashed by their letters."""
    return (sum(map(ord, name)) * 37 % 256, 40 * index, 128)


def make_class(root, name, count=3, suffix=".png", size=(SIZE, SIZE)):
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        Image.new("RGB", size, colour_of(name, index)).save(folder / f"{index}{suffix}")
    return folder


def make_folder(root, names=NAMES):
    for name in names:
        make_class(root, name)
    return root


def build(root, **parameters):
    inner = ",".join(f"{key}={value}" for key, value in {"size": SIZE, **parameters}.items())
    return DATASETS.build(f"folder[path={root},{inner}]")


def colours(image_set):
    """Per image the colour of its first pixel."""
    return [tuple(image[:, 0, 0].tolist()) for image in image_set.images]


def classes_of(image_set, names=NAMES):
    """The class names of a set in order of label, found by their colours."""
    by_colour = {colour_of(name, index): name for name in names for index in range(3)}
    found = {}
    for colour, label in zip(colours(image_set), image_set.labels.tolist(), strict=True):
        assert found.setdefault(label, by_colour[colour]) == by_colour[colour]
    return [found[label] for label in range(len(found))]


def one_line(error):
    assert "\n" not in str(error)
    return str(error)


def refused(dataset, match, kind=BenchmarkError):
    """Asserts that reading fails, and that `missing` says so beforehand, with the same reason."""
    with pytest.raises(kind, match=match) as caught:
        dataset.read(at(dataset.root / "no-cache"))
    assert dataset.missing(NOWHERE) == one_line(caught.value)
