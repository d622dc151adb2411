"""CIFAR-10 and CIFAR-100: photographs of 32 x 32 pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from benchmark.data.base import DATASETS, About
from benchmark.data.torchvision_sets import TorchvisionSet

_SOURCE = "https://www.cs.toronto.edu/~kriz/cifar.html"
_LICENCE = "none stated; research use"


@DATASETS.register("cifar10")
class Cifar10(TorchvisionSet):
    """CIFAR-10 (Krizhevsky 2009): five classes for training, the other five for testing.

    Its files are pickles: torchvision reads them after it has checked their checksums.
    """

    headline_eps: ClassVar[dict[str, float]] = {"linf": 8 / 255, "l2": 0.5}
    natural: ClassVar[bool] = True
    classes: ClassVar[int] = 10
    images_per_class: ClassVar[int] = 6_000
    image_shape: ClassVar[tuple[int, int, int]] = (3, 32, 32)
    about: ClassVar[About | None] = About(_SOURCE, "170 MB", _LICENCE, "the folder cifar-10-batches-py")

    def sources(self, root: Path, download: bool) -> list[Any]:
        """Training and test part.

        Raises:
            RuntimeError: when the files are missing or have other checksums.
        """
        from torchvision.datasets import CIFAR10

        return [CIFAR10(root, train=train, download=download) for train in (True, False)]


@DATASETS.register("cifar100")
class Cifar100(TorchvisionSet):
    """CIFAR-100 (Krizhevsky 2009): fifty classes for training, the other fifty for testing.

    Its files are pickles: torchvision reads them after it has checked their checksums.
    """

    headline_eps: ClassVar[dict[str, float]] = {"linf": 8 / 255, "l2": 0.5}
    natural: ClassVar[bool] = True
    classes: ClassVar[int] = 100
    images_per_class: ClassVar[int] = 600
    image_shape: ClassVar[tuple[int, int, int]] = (3, 32, 32)
    about: ClassVar[About | None] = About(_SOURCE, "169 MB", _LICENCE, "the folder cifar-100-python")

    per_class: Annotated[int, Field(ge=2)] | None = 40

    def sources(self, root: Path, download: bool) -> list[Any]:
        """Training and test part.

        Raises:
            RuntimeError: when the files are missing or have other checksums.
        """
        from torchvision.datasets import CIFAR100

        return [CIFAR100(root, train=train, download=download) for train in (True, False)]
