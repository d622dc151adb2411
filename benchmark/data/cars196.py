"""Cars196: 196 models of cars."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np

from benchmark.core.errors import BenchmarkError
from benchmark.data.base import DATASETS, About, Counts
from benchmark.data.image_files import class_folders, image_files, plain_name
from benchmark.data.kaggle_cars import kaggle_labels
from benchmark.data.layouts import Archive, Entry, Layout
from benchmark.data.photographs import Photographs

_CLASSES = 98
_TORCHVISION = ("devkit/cars_train_annos.mat", "cars_test_annos_withlabels.mat")


def _listed(file: Path, images: str, name: str) -> list[Entry]:
    """Read the images that one of the .mat files lists, a struct array with a name and a class.

    Args:
        file: the .mat file.
        images: prefix of each name.
        name: the field that holds the name.

    Raises:
        BenchmarkError: when the file is damaged or has another format.
    """
    from scipy.io import loadmat

    try:
        rows = np.atleast_1d(loadmat(str(file), squeeze_me=True)["annotations"])
    except Exception as error:  # scipy raises many types on damaged files
        raise BenchmarkError(f"{file} cannot be read ({error}); download it again.") from None
    try:
        return [_entry(f"{images}{row[name]}", int(row["class"])) for row in rows]
    except (ValueError, IndexError, KeyError, TypeError):
        raise BenchmarkError(
            f"{file} has annotations without the field '{name}' or a number in 'class'; download it again."
        ) from None


def _entry(file: str, label: int) -> Entry:
    return Entry(file, label, "train" if label <= _CLASSES else "test")


def _original(find: Callable[[str], Path]) -> list[Entry]:
    """Read cars_annos.mat, with names such as car_ims/000001.jpg; the split in it is not used."""
    return _listed(find("cars_annos.mat"), "", "relative_im_path")


def _torchvision(find: Callable[[str], Path]) -> list[Entry]:
    """Read the layout of torchvision's StanfordCars: two folders of images, and a list of each."""
    train, test = _TORCHVISION
    return [
        *_listed(find(train), "cars_train/", "fname"),
        *_listed(find(test), "cars_test/", "fname"),
    ]


def _kaggle(folder: str) -> Layout:
    """Return the layout with a folder per class in `folder`/train and `folder`/test, as on Kaggle."""
    parts = (f"{folder}/train", f"{folder}/test")

    def entries(find: Callable[[str], Path]) -> list[Entry]:
        found = {part: class_folders(find(path)) for part, path in zip(("train", "test"), parts, strict=True)}
        files = {
            f"{part}/{name}/{plain_name(file)}": name
            for part, folders in found.items()
            for name, path in folders.items()
            for file in image_files(path)
        }
        above = find(parts[0]).parents  # lists of the classes may be there
        labels = kaggle_labels(above[: folder.count("/") + 2], files)
        return [_entry(file, labels[name]) for file, name in files.items()]

    complete = ("stanford-car-dataset-by-classes-folder.zip", "archive.zip")
    return Layout(
        folders=("cars196", "."),
        metadata=parts,
        images=(folder,),
        archives=tuple(Archive(name, parts, sign=f"{parts[0]}/") for name in complete),
        entries=entries,
    )


@DATASETS.register("cars196")
class Cars196(Photographs):
    """Cars196 (Krause et al. 2013): models of cars; the first 98 for training, the others for testing."""

    about: ClassVar[About | None] = About(
        source="https://www.kaggle.com/datasets/jutrera/stanford-car-dataset-by-classes-folder",
        size="1.9 GB",
        license="non-commercial research",
        layout="cars_annos.mat and car_ims.tgz, torchvision's stanford_cars, or Kaggle's cars196/archive.zip",
    )
    official: ClassVar[Counts | None] = Counts(98, 8_054, 98, 8_131)
    layouts: ClassVar[tuple[Layout, ...]] = (
        Layout(
            folders=("cars196", "CARS196", "cars", "."),
            metadata=("cars_annos.mat",),
            images=(".",),
            archives=(Archive("car_ims.tgz"),),
            entries=_original,
        ),
        Layout(
            folders=("stanford_cars", "cars196/stanford_cars", "."),
            metadata=_TORCHVISION,
            images=(".",),
            archives=(
                Archive("car_devkit.tgz", metadata=_TORCHVISION[:1], images=()),
                Archive("cars_train.tgz", images=("cars_train/",)),
                Archive("cars_test.tgz", images=("cars_test/",)),
            ),
            entries=_torchvision,
        ),
        _kaggle("car_data/car_data"),
        _kaggle("car_data"),
    )
