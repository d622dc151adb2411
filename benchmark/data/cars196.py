"""Cars196: 196 models of cars."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from benchmark.core.errors import BenchmarkError
from benchmark.data.base import DATASETS, About, Counts
from benchmark.data.image_files import class_folders, image_files
from benchmark.data.photographs import Entry, Layout, Photographs

_CLASSES = 98


def _annotations(file: Path) -> Any:
    """The struct array `annotations` of one of the data set's .mat files.

    Raises:
        BenchmarkError: when the file is missing or damaged.
    """
    from scipy.io import loadmat

    try:
        return loadmat(str(file), squeeze_me=True)["annotations"]
    except FileNotFoundError:
        raise BenchmarkError(f"{file} is missing; it belongs beside the images.") from None
    except Exception as error:  # scipy raises many kinds on damaged files
        raise BenchmarkError(f"{file} cannot be read ({error}); get it again.") from None


def _entry(file: str, label: int) -> Entry:
    return Entry(file, label, "train" if label <= _CLASSES else "test")


def _listed(folder: Path, file: str, images: str, name: str) -> list[Entry]:
    rows = np.atleast_1d(_annotations(folder / file))
    try:
        return [_entry(f"{images}{row[name]}", int(row["class"])) for row in rows]
    except (ValueError, IndexError, KeyError) as error:
        raise BenchmarkError(f"{folder / file} has no field {error} as it should; get it again.") from None


def _original(folder: Path) -> list[Entry]:
    """cars_annos.mat: names such as car_ims/000001.jpg; its own split is not used."""
    return _listed(folder, "cars_annos.mat", "", "relative_im_path")


def _torchvision(folder: Path) -> list[Entry]:
    """The layout that torchvision's StanfordCars reads: two folders of images, a list of each."""
    return [
        *_listed(folder, "devkit/cars_train_annos.mat", "cars_train/", "fname"),
        *_listed(folder, "cars_test_annos_withlabels.mat", "cars_test/", "fname"),
    ]


def _kaggle(folder: Path) -> list[Entry]:
    """A folder for each class in train/ and test/; classes are in order of name, as in the original."""
    parts = {part: class_folders(folder / part) for part in ("train", "test")}
    labels = {name: label for label, name in enumerate(sorted({*parts["train"], *parts["test"]}), start=1)}
    return [
        _entry(f"{part}/{path.name}/{file.name}", labels[name])
        for part, found in parts.items()
        for name, path in found.items()
        for file in image_files(path)
    ]


@DATASETS.register("cars196")
class Cars196(Photographs):
    """Cars196 (Krause et al. 2013): models of cars; the first 98 for training, the others for testing."""

    about: ClassVar[About | None] = About(
        source="https://www.kaggle.com/datasets/jutrera/stanford-car-dataset-by-classes-folder",
        size="1.9 GB",
        licence="non-commercial research",
        layout="car_ims.tgz and cars_annos.mat, torchvision's folder stanford_cars, or Kaggle's car_data",
    )
    official: ClassVar[Counts | None] = Counts(98, 8_054, 98, 8_131)
    layouts: ClassVar[tuple[Layout, ...]] = (
        Layout(
            folders=("cars196", "CARS196", "cars", "."),
            marker="cars_annos.mat",
            images=(".",),
            archives=("car_ims.tgz",),
            entries=_original,
        ),
        Layout(
            folders=("stanford_cars", "cars196/stanford_cars", "."),
            marker="devkit/cars_train_annos.mat",
            images=(".",),
            archives=(),
            entries=_torchvision,
        ),
        Layout(
            folders=("car_data/car_data", "car_data", "cars196/car_data/car_data", "cars196/car_data"),
            marker="train",
            images=(".",),
            archives=(),
            entries=_kaggle,
        ),
    )
