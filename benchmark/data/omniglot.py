"""Omniglot: handwritten characters of fifty alphabets."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from benchmark.data import image_files
from benchmark.data.archives import is_archive, unpacked
from benchmark.data.base import DATASETS, About, Folders
from benchmark.data.torchvision_sets import Remote, TorchvisionSet

_FOLDER = "omniglot-py"


@DATASETS.register("omniglot")
class Omniglot(TorchvisionSet):
    """Omniglot (Lake et al. 2015): the 30 background alphabets for training, the 20 others for testing.

    The split is the authors'. The drawings are inverted to white on black, as in the other grey data sets,
    because shifted images are padded with black, and scaled from 105 x 105 pixels with antialiasing
    (bicubic). Torchvision's loader is not used: the order of its classes depends on the file system. See
    `TorchvisionSet`.

    Attributes:
        size: side in pixels.
        per_class: number of drawings of each character to use, the first of 20; none uses all.
    """

    headline_eps: ClassVar[dict[str, float]] = {"linf": 0.1, "l2": 1.5}
    classes: ClassVar[int] = 964 + 659
    images_per_class: ClassVar[int] = 20
    subsets: ClassVar[dict[str, int]] = {"images_background": 964, "images_evaluation": 659}
    about: ClassVar[About | None] = About(
        "https://github.com/brendenlake/omniglot",
        "16 MB",
        "MIT",
        "omniglot-py with images_background and images_evaluation, each a folder or a .zip",
    )

    size: Annotated[int, Field(ge=8, le=105)] = 28
    per_class: Annotated[int, Field(ge=2)] | None = None

    @property
    def training_classes(self) -> int:
        """The number of characters of the background alphabets."""
        return self.subsets["images_background"]

    @property
    def image_shape(self) -> tuple[int, int, int]:  # type: ignore[override]  # a constant of other data sets
        """(1, size, size)."""
        return 1, self.size, self.size

    def remotes(self) -> list[Remote]:
        """Return an archive for each part."""
        from torchvision.datasets import Omniglot as Source

        return [
            Remote(f"{Source.download_url_prefix}/{part}.zip", f"{_FOLDER}/{part}.zip", md5)
            for part, md5 in Source.zips_md5.items()
        ]

    def check(self, folders: Folders) -> None:
        """Check that a folder or an archive of each part exists, and count the characters in folders.

        Raises:
            BenchmarkError: when one is missing or not an archive, or a folder does not hold all characters.
        """
        for part, count in self.subsets.items():
            folder, archive = _paths(folders, part)
            if not (folder.is_dir() or archive.is_file()):
                self.raise_missing(folders, (folder, archive))
            if not (folder.is_dir() or is_archive(archive)):
                self.raise_damaged(archive, "it is not an archive")
            if folder.is_dir() and (found := len(_characters(folder))) != count:
                self.raise_damaged(folder, f"it has {found:,} characters instead of {count:,}")

    def contents(self, folders: Folders) -> object:
        """Return a hash of the files."""
        return _digest(self, folders)

    def decoded(self, folders: Folders) -> tuple[Tensor, Tensor]:
        """Decode all drawings, the background characters first, in order of alphabet, character and file.

        Raises:
            BenchmarkError: when a drawing is damaged, or some are missing.
        """
        files = self._files(folders)
        images = np.empty((len(files), *self.image_shape), dtype=np.uint8)
        for row, (file, _) in enumerate(files):
            images[row] = 255 - image_files.decode(file, self.size, grey=True)
        return torch.from_numpy(images), torch.tensor([label for _, label in files])

    def _files(self, folders: Folders) -> list[tuple[Path, int]]:
        """Return every drawing with its class."""
        files: list[tuple[Path, int]] = []
        label = 0
        for part, count in self.subsets.items():
            folder, archive = _paths(folders, part)
            if not folder.is_dir():
                folder = unpacked(archive, folders.cache) / part
                if not folder.is_dir() or len(_characters(folder)) != count:
                    self.raise_damaged(archive, f"{part} in it does not have {count:,} characters")
            for character in _characters(folder):
                drawings = image_files.image_files(character)
                if len(drawings) != self.images_per_class:
                    self.raise_damaged(
                        folder, f"{character} has {len(drawings)} drawings instead of {self.images_per_class}"
                    )
                files += [(file, label) for file in drawings]
                label += 1
        return files


def _paths(folders: Folders, part: str) -> tuple[Path, Path]:
    """Return the paths of a part, unpacked and packed."""
    return folders.data / _FOLDER / part, folders.data / _FOLDER / f"{part}.zip"


def _characters(folder: Path) -> list[Path]:
    """Return the folders of the characters, in order of alphabet and name."""
    alphabets = image_files.class_folders(folder).values()
    return [path for alphabet in alphabets for path in image_files.class_folders(alphabet).values()]


@lru_cache(maxsize=4)
def _digest(dataset: Omniglot, folders: Folders) -> str:
    return image_files.files_digest([file for file, _ in dataset._files(folders)])
