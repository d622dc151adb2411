"""Other images of the test classes, of data sets that draw their images."""

from __future__ import annotations

from functools import singledispatch

import torch

from benchmark.core.errors import BenchmarkError
from benchmark.core.seeding import derive_seed
from benchmark.data.base import Dataset, Folders, ImageSet
from benchmark.data.glyphs import Glyphs


@singledispatch
def draw_fresh(dataset: Dataset, folders: Folders) -> ImageSet | None:
    """Draws other images of the same classes for each test image, in their order; None where none are drawn.

    A data set that draws its images registers how: `@draw_fresh.register` above a function of its class.
    """
    return None


@draw_fresh.register
def _(dataset: Glyphs, folders: Folders) -> ImageSet:
    seed = derive_seed("fresh", dataset.seed) % 2**31
    return dataset.model_copy(update={"seed": seed}).load(folders).test


def is_drawn(dataset: Dataset) -> bool:
    """Whether a data set can draw other images of its classes."""
    return draw_fresh.dispatch(type(dataset)) is not draw_fresh.dispatch(object)


def fresh_images(dataset: Dataset, folders: Folders) -> ImageSet | None:
    """Returns what `draw_fresh` draws.

    Raises:
        BenchmarkError: when these are not as many images of the same classes.
    """
    fresh = draw_fresh(dataset, folders)
    if fresh is not None and not torch.equal(fresh.labels, dataset.load(folders).test.labels):
        raise BenchmarkError(
            f"The fresh images of '{dataset.spec}' have other labels than its test images; draw one image of "
            "the same class for each."
        )
    return fresh
