"""Scikit-learn's handwritten digits: small enough for tests, too easy to compare defenses."""

from __future__ import annotations

from typing import ClassVar

import torch

from benchmark.data.base import DATASETS, Dataset, Folders, ImageSet, Split


@DATASETS.register("digits")
class Digits(Dataset):
    """The 1,797 handwritten digits of scikit-learn: 0 to 4 for training, 5 to 9 for testing.

    Images are float32 in [0, 1], shape (n, 1, 8, 8); ids are the row numbers in scikit-learn's table.
    """

    headline_eps: ClassVar[dict[str, float]] = {"linf": 0.1, "l2": 0.5}

    def read(self, folders: Folders) -> Split:
        """Load the digits that come with scikit-learn; no folder is used."""
        from sklearn.datasets import load_digits  # takes a second

        table = load_digits()
        images = torch.from_numpy(table.images).float().div(16).unsqueeze(1)
        labels = torch.from_numpy(table.target).long()
        all_images = ImageSet(images, labels, torch.arange(len(labels)))
        return Split(
            train=all_images.of_classes(torch.arange(5)),
            test=all_images.of_classes(torch.arange(5, 10)),
        )
