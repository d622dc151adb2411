"""The columns of an image's own class in a matrix of similarities to a gallery."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class OwnClass(NamedTuple):
    """The columns of each image's own class, shape (b, w) each, with w the size of the largest class.

    Attributes:
        columns: distinct columns of each image's similarities; beyond the size of its class those of others.
        inside: whether a column is of the image's own class.
        positive: whether it is, and not the image itself.
    """

    columns: Tensor
    inside: Tensor
    positive: Tensor

    def positives(self, similarity: Tensor, none: Tensor | float) -> Tensor:
        """Returns the similarities to the positives, shape (b, w), with `none` in the other places."""
        return torch.where(self.positive, similarity.gather(1, self.columns), none)

    def write(self, matrix: Tensor, values: Tensor | float) -> None:
        """Replaces the entries of an image's own class in place: by a number, or by values of shape (b, w).

        Args:
            matrix: a row for each image, a column for each image of the gallery, shape (b, g).
            values: what is written.
        """
        rest = matrix.gather(1, self.columns)
        matrix.scatter_(1, self.columns, torch.where(self.inside, values, rest))


class OwnClasses:
    """Finds the columns of an image's own class.

    Masks of all pairs of a batch and the gallery would take longer than the similarities themselves; these
    columns are as few as the images of a class.

    Args:
        labels: classes of the pool, shape (n,).
        gallery: indices of the gallery's images in the pool, in the order of the columns, shape (g,).

    Attributes:
        largest: number of images of the largest class in the gallery.
    """

    def __init__(self, labels: Tensor, gallery: Tensor) -> None:
        classes = labels[gallery]
        self._labels = labels
        by_class = classes.argsort(stable=True)
        self._counts = torch.zeros_like(labels).index_add_(0, classes, torch.ones_like(classes))
        self._starts = self._counts.cumsum(0) - self._counts
        self.largest = int(self._counts.max())
        # Beyond a smaller class come the next ones', so that columns are distinct and may be written to.
        self._by_class = torch.cat([by_class, by_class[: self.largest]])
        self._offsets = torch.arange(self.largest, device=labels.device)
        self._gallery = gallery
        self._latest: tuple[Tensor, OwnClass] | None = None

    def of(self, index: Tensor) -> OwnClass:
        """Returns the columns for the images at `index` in the pool, shape (b,).

        The same indices come again at each step of a batch, so the latest answer is kept.
        """
        if self._latest is None or self._latest[0] is not index:
            self._latest = (index, self._find(index))
        return self._latest[1]

    def _find(self, index: Tensor) -> OwnClass:
        labels = self._labels[index]
        columns = self._by_class[self._starts[labels].unsqueeze(1) + self._offsets]
        inside = self._offsets < self._counts[labels].unsqueeze(1)
        return OwnClass(columns, inside, inside & (self._gallery[columns] != index.unsqueeze(1)))
