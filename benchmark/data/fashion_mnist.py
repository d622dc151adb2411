"""Fashion-MNIST: clothes, 28 x 28 pixels, grey."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmark.data.base import DATASETS, About, Folders
from benchmark.data.torchvision_sets import Remote, TorchvisionSet

_FOLDER = "FashionMNIST/raw"
_UNSIGNED_BYTES = 8  # the type in a header of the IDX format


@DATASETS.register("fashion_mnist")
class FashionMnist(TorchvisionSet):
    """Fashion-MNIST (Xiao et al. 2017, arXiv 1708.07747): five classes for training, five for testing.

    White on black. Torchvision has no checksums of the unpacked files, so their lengths, types and counts are
    checked here. See `TorchvisionSet`.
    """

    headline_eps: ClassVar[dict[str, float]] = {"linf": 0.1, "l2": 1.5}
    classes: ClassVar[int] = 10
    images_per_class: ClassVar[int] = 7_000
    image_shape: ClassVar[tuple[int, int, int]] = (1, 28, 28)
    subsets: ClassVar[dict[str, int]] = {"train": 60_000, "t10k": 10_000}
    about: ClassVar[About | None] = About(
        "https://github.com/zalandoresearch/fashion-mnist",
        "31 MB",
        "MIT",
        "FashionMNIST/raw with four files, train-images-idx3-ubyte and so on, or these as .gz",
    )

    def remotes(self) -> list[Remote]:
        """Return two files for each part."""
        from torchvision.datasets import FashionMNIST as Source

        mirror = Source.mirrors[0]
        return [Remote(f"{mirror}{name}", f"{_FOLDER}/{name}", md5) for name, md5 in Source.resources]

    def check(self, folders: Folders) -> None:
        """Check that the four files exist, and their sizes where they are unpacked.

        Raises:
            BenchmarkError: when one is missing or has another length.
        """
        for name, shape in self._shapes().items():
            file, archive = self._paths(folders, name)
            if not (file.is_file() or archive.is_file()):
                self.raise_missing(folders, (file, archive))
            wanted = 4 + 4 * len(shape) + int(np.prod(shape))
            if file.is_file() and (size := file.stat().st_size) != wanted:
                self.raise_damaged(file, f"it has {size:,} bytes instead of {wanted:,}")

    def contents(self, folders: Folders) -> object:
        """Return a hash of the unpacked contents of the four files."""
        digest = hashlib.sha256()
        for name in self._shapes():
            digest.update(self._bytes(folders, name)[1])
        return digest.hexdigest()

    def decoded(self, folders: Folders) -> tuple[Tensor, Tensor]:
        """Decode all images, the authors' training part first.

        Raises:
            BenchmarkError: when a file is missing or damaged.
        """
        found = {name: self._array(folders, name, shape) for name, shape in self._shapes().items()}
        images = np.concatenate([array for array in found.values() if array.ndim == 3])
        labels = np.concatenate([array for array in found.values() if array.ndim == 1])
        return torch.from_numpy(images).unsqueeze(1), torch.from_numpy(labels).long()

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of the array in each file."""
        shapes: dict[str, tuple[int, ...]] = {}
        for part, count in self.subsets.items():
            shapes[f"{part}-images-idx3-ubyte"] = (count, *self.image_shape[1:])
            shapes[f"{part}-labels-idx1-ubyte"] = (count,)
        return shapes

    def _paths(self, folders: Folders, name: str) -> tuple[Path, Path]:
        """Return the paths of a file, unpacked and packed."""
        return folders.data / _FOLDER / name, folders.data / _FOLDER / f"{name}.gz"

    def _bytes(self, folders: Folders, name: str) -> tuple[Path, bytes]:
        """Return the file that was read, and its unpacked contents."""
        file, archive = self._paths(folders, name)
        path = file if file.is_file() else archive
        try:
            data = path.read_bytes()
            return path, data if path == file else gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            self.raise_damaged(path, f"{error}")

    def _array(self, folders: Folders, name: str, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
        """Read an array in IDX format: two zeros, type, number of dimensions, 4-byte sizes, values."""
        path, data = self._bytes(folders, name)
        start = 4 + 4 * len(shape)
        header = bytes([0, 0, _UNSIGNED_BYTES, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape)
        if data[:start] != header or len(data) != start + int(np.prod(shape)):
            self.raise_damaged(path, f"it does not hold {' x '.join(map(str, shape))} bytes")
        array = np.frombuffer(data, dtype=np.uint8, offset=start).reshape(shape)
        if array.ndim == 1 and array.max() >= self.classes:
            self.raise_damaged(path, f"there is no class {array.max()}")
        return array
