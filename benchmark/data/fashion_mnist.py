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

    White on black. Torchvision has no checksums of the files once they are unpacked, so their lengths, types
    and counts are checked here. See `TorchvisionSet`.
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
        """Two files for each part."""
        from torchvision.datasets import FashionMNIST as Source

        mirror = Source.mirrors[0]
        return [Remote(f"{mirror}{name}", f"{_FOLDER}/{name}", md5) for name, md5 in Source.resources]

    def check(self, folders: Folders) -> None:
        """Looks for the four files, and at their sizes where they are unpacked.

        Raises:
            BenchmarkError: when one is missing or has another length.
        """
        for name, shape in self._shapes().items():
            file, archive = self._places(folders, name)
            if not (file.is_file() or archive.is_file()):
                self.absent(folders, (file, archive))
            wanted = 4 + 4 * len(shape) + int(np.prod(shape))
            if file.is_file() and (size := file.stat().st_size) != wanted:
                self.damaged(file, f"it has {size:,} bytes where {wanted:,} belong")

    def contents(self, folders: Folders) -> object:
        """A hash of the four files as they are unpacked."""
        digest = hashlib.sha256()
        for name in self._shapes():
            digest.update(self._bytes(folders, name)[1])
        return digest.hexdigest()

    def decoded(self, folders: Folders) -> tuple[Tensor, Tensor]:
        """All images, those for training by their authors first.

        Raises:
            BenchmarkError: when a file is missing or damaged.
        """
        found = {name: self._array(folders, name, shape) for name, shape in self._shapes().items()}
        images = np.concatenate([array for array in found.values() if array.ndim == 3])
        labels = np.concatenate([array for array in found.values() if array.ndim == 1])
        return torch.from_numpy(images).unsqueeze(1), torch.from_numpy(labels).long()

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape that the array of each file has."""
        shapes: dict[str, tuple[int, ...]] = {}
        for part, count in self.subsets.items():
            shapes[f"{part}-images-idx3-ubyte"] = (count, *self.image_shape[1:])
            shapes[f"{part}-labels-idx1-ubyte"] = (count,)
        return shapes

    def _places(self, folders: Folders, name: str) -> tuple[Path, Path]:
        """Where a file is, unpacked and packed."""
        return folders.data / _FOLDER / name, folders.data / _FOLDER / f"{name}.gz"

    def _bytes(self, folders: Folders, name: str) -> tuple[Path, bytes]:
        """The file that was read, and what is in it, unpacked."""
        file, archive = self._places(folders, name)
        path = file if file.is_file() else archive
        try:
            data = path.read_bytes()
            return path, data if path == file else gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            self.damaged(path, f"{error}")

    def _array(self, folders: Folders, name: str, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
        """An array in the IDX format: two zeros, type, number of dimensions, each as 4 bytes, then values."""
        path, data = self._bytes(folders, name)
        start = 4 + 4 * len(shape)
        header = bytes([0, 0, _UNSIGNED_BYTES, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape)
        if data[:start] != header or len(data) != start + int(np.prod(shape)):
            self.damaged(path, f"it does not hold {' x '.join(map(str, shape))} bytes")
        array = np.frombuffer(data, dtype=np.uint8, offset=start).reshape(shape)
        if array.ndim == 1 and array.max() >= self.classes:
            self.damaged(path, f"there is no class {array.max()}")
        return array
