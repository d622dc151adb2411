"""Fashion-MNIST: clothes, 28 x 28 pixels, grey."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from benchmark.data.base import DATASETS, About
from benchmark.data.torchvision_sets import TorchvisionSet


@DATASETS.register("fashion_mnist")
class FashionMnist(TorchvisionSet):
    """Fashion-MNIST (Xiao et al. 2017, arXiv 1708.07747): five classes for training, five for testing."""

    headline_eps: ClassVar[dict[str, float]] = {"linf": 0.1, "l2": 1.5}
    classes: ClassVar[int] = 10
    images_per_class: ClassVar[int] = 7_000
    image_shape: ClassVar[tuple[int, int, int]] = (1, 28, 28)
    about: ClassVar[About | None] = About(
        "https://github.com/zalandoresearch/fashion-mnist", "30 MB", "MIT", "the folder FashionMNIST/raw"
    )

    def sources(self, root: Path, download: bool) -> list[Any]:
        """Training and test part.

        Raises:
            RuntimeError: when the files are missing.
        """
        from torchvision.datasets import FashionMNIST

        return [FashionMNIST(root, train=train, download=download) for train in (True, False)]
