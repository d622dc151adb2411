"""Omniglot: handwritten characters of fifty alphabets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import PIL
import torch
from PIL import Image, features
from pydantic import Field
from torch import Tensor

from benchmark.data.base import DATASETS, About, Folders
from benchmark.data.cache import cached, fingerprint
from benchmark.data.torchvision_sets import TorchvisionSet

_BACKGROUND, _EVALUATION = 964, 659


@DATASETS.register("omniglot")
class Omniglot(TorchvisionSet):
    """Omniglot (Lake et al. 2015): the 30 background alphabets for training, the 20 others for testing.

    Black on white, as drawn, scaled down with antialiasing; grey, uint8, shape (n, 1, size, size).

    Attributes:
        size: side in pixels.
        per_class: how many of the 20 drawings of each character are taken; none takes all.
    """

    headline_eps: ClassVar[dict[str, float]] = {"linf": 0.1, "l2": 1.5}
    classes: ClassVar[int] = _BACKGROUND + _EVALUATION
    images_per_class: ClassVar[int] = 20
    about: ClassVar[About | None] = About(
        "https://github.com/brendenlake/omniglot", "18 MB", "MIT", "the folder omniglot-py"
    )

    size: Annotated[int, Field(ge=8, le=105)] = 28
    per_class: Annotated[int, Field(ge=2)] | None = None

    @property
    def training_classes(self) -> int:
        """The characters of the background alphabets."""
        return _BACKGROUND

    @property
    def image_shape(self) -> tuple[int, int, int]:  # type: ignore[override]  # a constant of other data sets
        """(1, size, size)."""
        return 1, self.size, self.size

    def sources(self, root: Path, download: bool) -> list[Any]:
        """The background and the evaluation alphabets.

        Raises:
            RuntimeError: when the files are missing.
        """
        from torchvision.datasets import Omniglot as Torchvisions

        return [Torchvisions(str(root), background=part, download=download) for part in (True, False)]

    def decoded(self, folders: Folders) -> tuple[Tensor, Tensor]:
        """All drawings, decoded once, and their characters; the evaluation's come after the background's."""
        parts = self._open(folders)
        lengths = [len(part) for part in parts]
        key = fingerprint(lengths, self.size, PIL.__version__, features.version("zlib"))

        def decode() -> dict[str, Tensor]:
            first = [0, len(parts[0]._characters)]
            pixels, labels = [], []
            for start, part in zip(first, parts, strict=True):
                for image, label in part:
                    scaled = image.convert("L").resize((self.size, self.size), Image.Resampling.LANCZOS)
                    pixels.append(np.asarray(scaled))
                    labels.append(start + label)
            return {"images": torch.from_numpy(np.stack(pixels)).unsqueeze(1), "labels": torch.tensor(labels)}

        made = cached(folders.cache / f"omniglot-{key}.safetensors", decode)
        return made["images"], made["labels"]
