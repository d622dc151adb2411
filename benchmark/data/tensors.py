"""Images in a file of tensors as a data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from benchmark.core.errors import BenchmarkError, UsageError
from benchmark.core.files import content_digest
from benchmark.core.labels import as_label
from benchmark.data.base import DATASETS, Folders, Split
from benchmark.data.cache import fingerprint
from benchmark.data.user_images import GivenByPath, UserImages, named_by_path

_NEEDED = ("images", "labels")
_OPTIONAL = ("ids", "queries")


class ImageTensors(UserImages):
    """A safetensors file of images and labels; some classes are for training, the others for testing.

    Its tensors are `images`, uint8 in [0, 255] or float32 in [0, 1], shape (n, 1 or 3, H, W); `labels`,
    integers, shape (n,), each for two images or more; and, where there are any, `ids`, integers that differ
    (by default the row numbers), and `queries`, bool, which marks the images that are queries only. The
    split of the classes and the parameters are those of `UserImages`.
    """

    kind: ClassVar[str] = "tensors"

    @property
    def natural(self) -> bool:  # type: ignore[override]  # a constant of other data sets
        """Whether the images have three channels: these count as photographs."""
        with self._opened() as file:
            shape = file.get_slice("images").get_shape()
        return len(shape) == 4 and shape[1] == 3

    def read(self, folders: Folders) -> Split:
        """Read the file.

        Raises:
            BenchmarkError: when it is missing or damaged, lacks a tensor, or has too few classes or images.
        """
        division = self._division
        with self._opened() as file:
            images = file.get_tensor("images")
            given = {name: file.get_tensor(name) for name in _OPTIONAL if name in file.keys()}  # noqa: SIM118
        for name, tensor in given.items():
            if tensor.shape[:1] != (len(self._names),):
                shape = tuple(tensor.shape)
                raise UsageError(
                    f"The file {self.root} has {name} of shape {shape} for {len(self._names)} labels."
                )
        ids = _integers(given["ids"], "ids", self.root) if "ids" in given else torch.arange(len(images))
        split = self.assemble(images, self._names, ids, division, given.get("queries"))
        if self.pool == "all":
            return split
        return Split(replace(split.train, queries=None), split.test)  # nothing is retrieved in training

    def fingerprint(self, folders: Folders) -> str:
        """Return a hash of the file and of the split of its classes.

        Raises:
            BenchmarkError: as `read` does.
        """
        division = self._division
        try:
            return fingerprint(content_digest(self.root), division)
        except OSError as error:
            raise BenchmarkError(f"The file {self.root} cannot be read: {error.strerror}.") from None

    def missing(self, folders: Folders) -> str | None:
        """Return what is wrong with the file, its labels or its classes, or None; no image is read."""
        try:
            _ = self._division
        except BenchmarkError as error:
            return str(error)
        return None

    def _own_name(self) -> str:
        return as_label(self.root.stem, self.kind)

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        """Open the file.

        Raises:
            BenchmarkError: when it is missing, damaged or no safetensors file.
        """
        if not self.root.is_file():
            raise BenchmarkError(f"There is no file {self.root}.")
        try:
            with safe_open(self.root, framework="pt") as file:
                yield file
        except (OSError, SafetensorError) as error:
            raise BenchmarkError(
                f"The file {self.root} cannot be read as safetensors: {str(error).strip()}"
            ) from None

    @cached_property
    def _names(self) -> list[str]:
        """The name of each image's class: its label.

        Raises:
            BenchmarkError: when the file is missing or damaged, or lacks a tensor or has one that is unknown.
        """
        with self._opened() as file:
            keys = set(file.keys())
            if lacking := [name for name in _NEEDED if name not in keys]:
                raise UsageError(
                    f"The file {self.root} has no tensor '{lacking[0]}', only {', '.join(sorted(keys))}."
                )
            if unknown := sorted(keys.difference(_NEEDED, _OPTIONAL)):
                known = ", ".join([*_NEEDED, *_OPTIONAL])
                raise UsageError(f"The file {self.root} has a tensor '{unknown[0]}'; known are {known}.")
            shape = file.get_slice("images").get_shape()
            labels = _integers(file.get_tensor("labels"), "labels", self.root)
        if len(labels) != (count := shape[0] if shape else 0):
            raise UsageError(f"The file {self.root} has {len(labels)} labels for {count} images.")
        return list(map(str, labels.tolist()))

    @cached_property
    def _division(self) -> tuple[list[str], list[str]]:
        """Names of the training and of the test classes, in order of label."""
        counts = Counter(self._names)
        if single := [name for name, count in counts.items() if count < 2]:
            raise UsageError(
                f"The file {self.root} has one image with the label {single[0]}; a class needs 2 or more."
            )
        return self.divide(counts, str(self.root))


def _integers(numbers: Tensor, what: str, path: Path) -> Tensor:
    """Return integers of any type as int64.

    Raises:
        UsageError: when they are others, or of a shape other than (n,).
    """
    if (
        numbers.ndim != 1
        or numbers.is_floating_point()
        or numbers.is_complex()
        or numbers.dtype == torch.bool
    ):
        raise UsageError(
            f"The file {path} has {what} of type {numbers.dtype} and shape {tuple(numbers.shape)}; "
            "needed are integers, one for each image."
        )
    return numbers.long()


@DATASETS.register("tensors")
class NamedTensors(GivenByPath, ImageTensors):
    """A safetensors file of images and labels: `tensors:FILE`, or `tensors[path=FILE]`.

    The parameters are those of `ImageTensors`.
    """


DATASETS.add_fallback(named_by_path(ImageTensors))
