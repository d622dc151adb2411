"""CUB-200-2011: 200 species of birds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from benchmark.core.errors import BenchmarkError
from benchmark.data.base import DATASETS, About, Counts, Folders
from benchmark.data.layouts import Archive, Entry, Layout
from benchmark.data.metadata import number, table
from benchmark.data.photographs import Photographs

_CLASSES = 100
_MD5 = "97eceeb196236b17998738112f37df78"
_URL = "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz"


_METADATA = ("image_class_labels.txt", "images.txt")


def _entries(find: Callable[[str], Path]) -> list[Entry]:
    """Read images.txt (number, file) and image_class_labels.txt (number, class)."""
    labels_file = find("image_class_labels.txt")
    images_file = find("images.txt")
    rows, files = table(labels_file, 2), table(images_file, 2)
    labels = {image: number(label, labels_file) for image, label in rows}
    entries = []
    for source, lines in ((labels_file, rows), (images_file, files)):
        (twice, count), *_ = Counter(image for image, _ in lines).most_common(1) or [("", 0)]
        if count > 1:
            raise BenchmarkError(f"{source} has {count} lines for image {twice}; unpack the archive again.")
    for image, file in files:
        if image not in labels:
            raise BenchmarkError(f"{labels_file} has no class for image {image}; unpack the archive again.")
        entries.append(Entry(file, labels[image], "train" if labels[image] <= _CLASSES else "test"))
    return entries


@DATASETS.register("cub200")
class Cub200(Photographs):
    """CUB-200-2011 (Wah et al. 2011): birds; the first 100 species for training, the others for testing."""

    about: ClassVar[About | None] = About(
        source="https://www.vision.caltech.edu/datasets/cub_200_2011/",
        size="1.2 GB",
        license="non-commercial research; the images' rights are their owners'",
        layout="CUB_200_2011.tgz or the folder CUB_200_2011",
    )
    official: ClassVar[Counts | None] = Counts(100, 5_864, 100, 5_924)
    layouts: ClassVar[tuple[Layout, ...]] = (
        Layout(
            folders=("CUB_200_2011", "cub200/CUB_200_2011", "cub200", "."),
            metadata=_METADATA,
            images=("images",),
            archives=tuple(Archive(f"CUB_200_2011.{ending}", _METADATA) for ending in ("tgz", "tar.gz")),
            entries=_entries,
        ),
    )

    def download(self, folders: Folders) -> None:
        """Download the archive, 1.2 GB, and verify it.

        Raises:
            BenchmarkError: when the download is incomplete or damaged.
        """
        from benchmark.data.downloads import fetch

        fetch(_URL, folders.data / "CUB_200_2011.tgz", _MD5)
