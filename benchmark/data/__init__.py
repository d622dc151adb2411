"""Data sets: images in [0, 1], with training classes disjoint from test classes."""

from benchmark.data import (  # noqa: F401 (importing them registers them)
    cars196,
    cifar,
    cub200,
    digits,
    fashion_mnist,
    folder,
    glyphs,
    inshop,
    omniglot,
    sop,
    tensors,
)
from benchmark.data.base import DATASETS, Dataset, Folders, ImageSet, Split

__all__ = ["DATASETS", "Dataset", "Folders", "ImageSet", "Split"]
