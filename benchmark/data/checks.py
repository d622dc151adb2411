"""Checks of what a data set hands over, before anything is trained or attacked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor

from benchmark.core.errors import UsageError
from benchmark.data.image_set import ImageSet, Split
from benchmark.data.packed import PackedImages

_CHUNK = 256
"""Images whose values are checked at a time."""

_CHANNELS = (1, 3)


def check_split(split: Split, name: str, trains: bool = True) -> None:
    """Check types, shapes, labels, ids and ranges of a split; memory-mapped images are not read.

    Args:
        split: the split as a data set's `read` returns it.
        name: name of the data set in messages.
        trains: whether the training images are trained on, which takes two classes of them.

    Raises:
        UsageError: for the first thing that is not as `ImageSet` describes it, in one line.
    """
    for attribute in ("train", "test"):
        if not hasattr(split, attribute):
            raise UsageError(f"The data set '{name}' hands over a {type(split).__name__}: return a Split.")
    check = _Check(name)
    parts = {"training": split.train, "test": split.test}
    for part, images in parts.items():
        check.part(part, images, fewest=2 if trains else 0)
    if not trains and (classes := sum(images.num_classes for images in parts.values())) < 2:
        check.fail("labels", f"{classes} class", "2 or more")
    check.pool(*_pool(split, whole=not trains))
    check.ids_once(torch.cat([images.ids for images in parts.values()]))
    shapes = {part: tuple(images.images.shape[1:]) for part, images in parts.items()}
    if len(set(shapes.values())) > 1:
        check.fail("images", " and ".join(f"{shape} ({part})" for part, shape in shapes.items()), "one shape")
    types = {part: images.images.dtype for part, images in parts.items()}
    if len(set(types.values())) > 1:
        check.fail("images", " and ".join(f"{kind} ({part})" for part, kind in types.items()), "one type")
    for part, images in parts.items():
        check.range(part, images.images)
    check.whole_range([images.images for images in parts.values()])


def _pool(split: Split, whole: bool) -> tuple[Tensor, Tensor | None]:
    """Labels and queries of the pool: the test images, or all that `Split.with_whole_pool` puts into it."""
    train, test = split.train, split.test
    if not whole or (train.queries is None) != (test.queries is None):
        return test.labels, test.queries
    labels = torch.cat([test.labels, train.labels + test.num_classes])
    if test.queries is None or train.queries is None:
        return labels, None
    return labels, torch.cat([test.queries, train.queries])


class _Check:
    """The checks of one data set.

    Args:
        name: its name in messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def fail(self, what: str, found: str, wanted: str) -> NoReturn:
        """Raise the error for wrong labels, ids, images or queries."""
        raise UsageError(f"The data set '{self._name}' hands over wrong {what}: {found}; needed: {wanted}.")

    def part(self, part: str, images: ImageSet, fewest: int) -> None:
        """Check one part, all but the values of its images."""
        if not isinstance(images, ImageSet):
            self.fail(f"{part} images", f"a {type(images).__name__}", "an ImageSet of images, labels and ids")
        self._images(f"{part} images", images.images)
        count = len(images.images)
        self._numbers(f"{part} labels", images.labels, count, torch.int64, ".long()")
        self._numbers(f"{part} ids", images.ids, count, torch.int64, ".long()")
        self._labels(f"{part} labels", images.labels, fewest)
        if images.queries is not None:
            self._numbers(f"{part} queries", images.queries, count, torch.bool, ".bool()")

    def _images(self, what: str, images: Any) -> None:
        if not isinstance(images, Tensor | PackedImages):
            self.fail(what, f"a {type(images).__name__}", "a torch tensor")
        if isinstance(images, Tensor):
            self._tensor(what, images)
        shape = tuple(images.shape)
        if len(shape) != 4 or shape[1] not in _CHANNELS or 0 in shape[2:]:
            self.fail(what, f"shape {shape}", "(n, C, H, W) with 1 or 3 channels")
        if images.dtype not in (torch.uint8, torch.float32):
            self.fail(what, f"{images.dtype}", "uint8 in [0, 255] or float32 in [0, 1]")

    def _tensor(self, what: str, tensor: Tensor) -> None:
        """Check what any tensor must be, whatever it holds."""
        if tensor.layout != torch.strided:
            self.fail(what, "a sparse tensor", "a dense one, as .to_dense() makes it")
        if tensor.device.type != "cpu":
            self.fail(what, f"a tensor on the device {tensor.device}", "one in memory, as .cpu() makes it")
        if tensor.requires_grad:
            self.fail(what, "a tensor that requires a gradient", "one without, as .detach() makes it")

    def _numbers(self, what: str, numbers: Any, count: int, kind: torch.dtype, call: str) -> None:
        if not isinstance(numbers, Tensor):
            self.fail(what, f"a {type(numbers).__name__}", "a torch tensor")
        self._tensor(what, numbers)
        if numbers.dtype != kind:
            self.fail(what, f"{numbers.dtype}", f"{kind}, as {call} makes them")
        if numbers.shape != (count,):
            self.fail(what, f"shape {tuple(numbers.shape)}", f"one for each of the {count} images")

    def _labels(self, what: str, labels: Tensor, fewest: int) -> None:
        classes = labels.unique()
        if len(classes) < fewest:
            self.fail(what, f"{len(classes)} class{'' if len(classes) == 1 else 'es'}", f"{fewest} or more")
        if not torch.equal(classes, torch.arange(len(classes))):
            found = f"{len(classes)} classes with labels from {int(classes[0])} to {int(classes[-1])}"
            self.fail(what, found, f"every label from 0 to {len(classes) - 1}")

    def pool(self, labels: Tensor, queries: Tensor | None) -> None:
        """Check that the images of one pool can retrieve right and wrong ones, by their labels and roles."""
        if not len(labels):
            self.fail("test images", "none", "images of 2 classes or more")
        if int(labels.bincount().max()) < 2:
            self.fail("test labels", "one image of each class", "2 or more of some class, to find each other")
        if queries is not None:
            count = int(queries.sum())
            if count in (0, len(queries)):
                self.fail(
                    "queries", f"{count} of {len(queries)} images", "some queries and some of the gallery"
                )
            if alone := sorted({*labels[queries].tolist()} - {*labels[~queries].tolist()}):
                self.fail(
                    "queries", f"no image of class {alone[0]} in the gallery", "one for each queried class"
                )
        gallery = labels if queries is None else labels[~queries]
        if len(gallery.unique()) < 2:
            self.fail("test labels", "a gallery of one class", "2 or more, or no query finds a wrong image")

    def ids_once(self, ids: Tensor) -> None:
        """Check that no two images have one id, in both parts together."""
        values, counts = ids.unique(return_counts=True)
        if len(values) < len(ids):
            most = int(counts.argmax())
            self.fail("ids", f"{int(counts[most])} images have the id {int(values[most])}", "one id an image")

    def whole_range(self, images: Sequence[Tensor | PackedImages]) -> None:
        """Check that bytes are not pixels in [0, 1] that were rounded to 0 and 1."""
        known = [part for part in images if isinstance(part, Tensor) and part.dtype == torch.uint8]
        if (
            len(known) == len(images)
            and max((int(part.max()) for part in known if part.numel()), default=0) == 1
        ):
            self.fail("images", "uint8 with values of 0 and 1 only", "uint8 to 255, or float32 in [0, 1]")

    def range(self, part: str, images: Tensor | PackedImages) -> None:
        """Check that every pixel is a number in [0, 1]; bytes always are."""
        if isinstance(images, PackedImages) or images.dtype == torch.uint8:
            return
        for chunk in images.split(_CHUNK):
            low, high = (float(value) for value in chunk.aminmax()) if chunk.numel() else (0.0, 0.0)
            if math.isnan(low) or math.isinf(low) or math.isinf(high):
                self.fail(f"{part} images", "a pixel that is not a finite number", "float32 in [0, 1]")
            if low < 0 or high > 1:
                self.fail(f"{part} images", f"float32 from {low:g} to {high:g}", "[0, 1], or uint8 to 255")
