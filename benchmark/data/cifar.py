"""CIFAR-10 and CIFAR-100: photographs of 32 x 32 pixels."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from benchmark.data.archives import is_archive, unpacked
from benchmark.data.base import DATASETS, About, Folders
from benchmark.data.torchvision_sets import Remote, TorchvisionSet

_SOURCE = "https://www.cs.toronto.edu/~kriz/cifar.html"
_LICENSE = "none stated; research use"


class Cifar(TorchvisionSet):
    """CIFAR's pickles, which torchvision reads after it has verified their checksums.

    No other file of the data folder is unpickled.
    """

    # At the field's 8/255 no defense keeps any accuracy with so small a training set: docs/datasets.md.
    headline_eps: ClassVar[dict[str, float]] = {"linf": 4 / 255, "l2": 0.5}
    natural: ClassVar[bool] = True
    image_shape: ClassVar[tuple[int, int, int]] = (3, 32, 32)

    def source(self) -> Any:
        """Return torchvision's class."""
        raise NotImplementedError

    def remotes(self) -> list[Remote]:
        """Return the archive."""
        source = self.source()
        return [Remote(source.url, source.filename, source.tgz_md5)]

    def check(self, folders: Folders) -> None:
        """Check that the archive, or every file of the unpacked folder, exists.

        Raises:
            BenchmarkError: when one is missing, or the file is not an archive.
        """
        source = self.source()
        folder, archive = folders.data / source.base_folder, folders.data / source.filename
        if not folder.is_dir():
            if not archive.is_file():
                self.raise_missing(folders, (folder, archive))
            if not is_archive(archive):
                self.raise_damaged(archive, "it is not an archive")
            return
        for name, _ in self._checksums():
            if not (folder / name).is_file():
                self.raise_missing(folders, [folder / name])

    def contents(self, folders: Folders) -> object:
        """Return the checksums: files with any other content are never read."""
        return self._checksums()

    def decoded(self, folders: Folders) -> tuple[Tensor, Tensor]:
        """Decode all images, the authors' training part first; labels are the (fine) classes.

        Raises:
            BenchmarkError: when a file is missing or has another checksum.
        """
        from torchvision.datasets.utils import check_integrity

        source = self.source()
        root = folders.data
        if not (root / source.base_folder).is_dir():
            root = unpacked(root / source.filename, folders.cache)
        for name, md5 in self._checksums():
            file = root / source.base_folder / name
            if not check_integrity(file, md5):
                self.raise_damaged(file, "its checksum is wrong" if file.is_file() else "it is missing")
        # Torchvision verifies them again, so nothing else can be unpickled.
        parts = [source(root, train=train, download=False) for train in (True, False)]
        images = torch.from_numpy(np.concatenate([part.data for part in parts]))
        labels = torch.tensor([label for part in parts for label in part.targets])
        return images.permute(0, 3, 1, 2).contiguous(), labels

    def _checksums(self) -> list[list[str]]:
        source = self.source()
        return [*source.train_list, *source.test_list, [source.meta["filename"], source.meta["md5"]]]


@DATASETS.register("cifar10")
class Cifar10(Cifar):
    """CIFAR-10 (Krizhevsky 2009): five classes for training, the other five for testing.

    See `Cifar` and `TorchvisionSet`.
    """

    classes: ClassVar[int] = 10
    images_per_class: ClassVar[int] = 6_000
    about: ClassVar[About | None] = About(
        _SOURCE, "170 MB", _LICENSE, "cifar-10-python.tar.gz or the folder cifar-10-batches-py"
    )

    def source(self) -> Any:
        """Return torchvision's class."""
        from torchvision.datasets import CIFAR10

        return CIFAR10


@DATASETS.register("cifar100")
class Cifar100(Cifar):
    """CIFAR-100 (Krizhevsky 2009): fifty classes for training, the other fifty for testing.

    See `Cifar` and `TorchvisionSet`.
    """

    classes: ClassVar[int] = 100
    images_per_class: ClassVar[int] = 600
    about: ClassVar[About | None] = About(
        _SOURCE, "169 MB", _LICENSE, "cifar-100-python.tar.gz or the folder cifar-100-python"
    )

    per_class: Annotated[int, Field(ge=2)] | None = 40

    def source(self) -> Any:
        """Return torchvision's class."""
        from torchvision.datasets import CIFAR100

        return CIFAR100
