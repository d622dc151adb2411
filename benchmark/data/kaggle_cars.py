"""Class labels of Cars196 in Kaggle's layout, which has a folder of images for each class."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmark.data.metadata import number, text_of

_NAMES = "names.csv"
_ANNOTATIONS = {"train": "anno_train.csv", "test": "anno_test.csv"}


def kaggle_labels(folders: Sequence[Path], files: Mapping[str, str]) -> dict[str, int]:
    """Return the number of each class, from 1: the original number where a list of the archive gives it.

    names.csv names the classes in their original order; anno_train.csv and anno_test.csv give the number for
    each image. Where neither covers all classes, they are numbered in order of name: the first 98 classes are
    then the same as in the original, but not in the same order.

    Args:
        folders: the folders that may hold the lists.
        files: the class folder of each image, by the image's name, such as train/CLASS/00001.jpg.

    Raises:
        BenchmarkError: when a list cannot be read.
    """
    classes = sorted(set(files.values()))
    for labels in (_by_names(folders), _by_annotations(folders, files)):
        known = {name: labels[_plain(name)] for name in classes if _plain(name) in labels}
        if len(set(known.values())) == len(classes):
            return known
    return {name: label for label, name in enumerate(classes, start=1)}


def _plain(name: str) -> str:
    """Reduce a class name to letters and digits for comparison: no folder can be named "Ram C/V"."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _rows(folders: Sequence[Path], name: str) -> tuple[Path, list[list[str]]]:
    for folder in folders:
        if (file := folder / name).is_file():
            return file, [row for row in csv.reader(text_of(file).splitlines()) if row]
    return Path(name), []


def _by_names(folders: Sequence[Path]) -> dict[str, int]:
    _, rows = _rows(folders, _NAMES)
    return {_plain(",".join(row)): label for label, row in enumerate(rows, start=1)}


def _by_annotations(folders: Sequence[Path], files: Mapping[str, str]) -> dict[str, int]:
    labels = {}
    for part, name in _ANNOTATIONS.items():
        list_file, rows = _rows(folders, name)
        numbers = {row[0]: row[-1] for row in rows}
        for file, folder in files.items():
            side, _, image = file.split("/")
            if side == part and image in numbers:
                labels[_plain(folder)] = number(numbers[image], list_file)
    return labels
