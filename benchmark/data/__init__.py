"""Data sets: images in [0, 1], training classes disjoint from test classes."""

from benchmark.data import digits, folder, glyphs  # noqa: F401 (importing them registers them)
from benchmark.data.base import DATASETS, Dataset, Folders, ImageSet, Split

__all__ = ["DATASETS", "Dataset", "Folders", "ImageSet", "Split"]
