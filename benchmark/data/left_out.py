"""The images in a folder that its data set leaves out, counted, so that none is missing without a word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from benchmark.core.errors import BenchmarkError
from benchmark.data.base import Dataset
from benchmark.data.folder import ImageFolder
from benchmark.data.image_files import SUFFIXES, class_folders

_ALSO_IMAGES = frozenset({".avif", ".heic", ".heif", ".jxl", ".svg"})
"""Endings of images that Pillow, or some version of it, does not know."""


def left_out_images(datasets: Iterable[Dataset]) -> list[str]:
    """Says of each folder of images how many it leaves out that no parameter asked to leave out, and why.

    Args:
        datasets: the data sets; those that are no such folders are passed over.

    Returns:
        A sentence for each folder that leaves some out.
    """
    notes = [_note(dataset) for dataset in datasets if isinstance(dataset, ImageFolder)]
    return [note for note in dict.fromkeys(notes) if note]


def _note(dataset: ImageFolder) -> str:
    try:
        folders = class_folders(dataset.root)
    except BenchmarkError:  # the data set says so itself
        return ""
    endings: Counter[str] = Counter()
    beside = sum(path.suffix.lower() in SUFFIXES and path.is_file() for path in _visible(dataset.root))
    below, read, without = 0, 0, 0
    for folder in folders.values():
        for file in _files(folder):
            ending = file.suffix.lower()
            if not ending.strip(".0123456789"):  # as "image" and "image.jpg.1"
                without += _is_image(file)
            elif ending not in SUFFIXES:
                endings[ending] += 1
            elif file.parent == folder:
                read += 1
            else:
                below += 1
    images = _image_endings() if endings.keys() - _ALSO_IMAGES else _ALSO_IMAGES
    others = sorted((ending, count) for ending, count in endings.items() if ending in images)
    reasons = [f"{count:,} {'ends' if count == 1 else 'end'} in {ending}" for ending, count in others]
    reasons += (
        [f"{below:,} {'is in a subfolder' if below == 1 else 'are in subfolders'} of a class"]
        if below
        else []
    )
    reasons += [f"{without:,} {'has' if without == 1 else 'have'} no ending"] if without else []
    reasons += [f"{beside:,} {'is' if beside == 1 else 'are'} beside the classes' folders"] if beside else []
    if not reasons:
        return ""
    missing = sum(count for _, count in others) + below + without + beside
    return (
        f"{missing:,} of {missing + read:,} images in {dataset.short_name}: {', '.join(reasons)}. Only files "
        f"that end in {', '.join(sorted(SUFFIXES))}, directly in a class's folder, are read: convert or move "
        "them."
    )


def _visible(folder: Path) -> list[Path]:
    """What lies in a folder, without hidden files and folders."""
    return [path for path in folder.iterdir() if not path.name.startswith(".")]


def _is_image(file: Path) -> bool:
    """Whether a file begins as an image does that Pillow knows."""
    try:
        with Image.open(file):
            return True
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


def _files(folder: Path) -> list[Path]:
    """The files anywhere below a folder, without hidden ones and what is in hidden folders."""
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]


def _image_endings() -> frozenset[str]:
    return _ALSO_IMAGES | {ending.lower() for ending in Image.registered_extensions()} - {
        ".pdf",
        ".mpg",
        ".mpeg",
    }
