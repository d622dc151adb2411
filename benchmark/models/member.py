"""A member: one embedder with the loss that trains it."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from benchmark.core.embedder import Embedder
from benchmark.losses import Criterion


class Member(Embedder):
    """One embedder with its own loss, including proxies; defenses build their models from members.

    Args:
        embedder: maps images to unit vectors of dimension d.
        criterion: the training loss, with parameters of its own if it has any.
        dim: dimension d of the embedding.
    """

    only_parts: ClassVar[tuple[str, ...]] = ("embedder",)

    def __init__(self, embedder: Embedder, criterion: Criterion, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.embedder = embedder
        self.criterion = criterion
        self.randomised = embedder.randomised

    def forward(self, images: Tensor) -> Tensor:
        """Embed images, shape (n, C, H, W) in [0, 1], as unit vectors, shape (n, d)."""
        embeddings: Tensor = self.embedder(images)
        return embeddings

    @property
    def has_stand_in(self) -> bool:
        """Whether the embedder holds one."""
        return super().has_stand_in or self.embedder.has_stand_in

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Compute the training loss, a scalar, of embeddings, shape (n, d), with labels, shape (n,)."""
        # Similarities times a scale of 32 need more than half precision.
        with torch.autocast(embeddings.device.type, enabled=False):
            loss: Tensor = self.criterion(embeddings.float(), labels)
        return loss

    def loss_of_images(self, images: Tensor, labels: Tensor) -> Tensor:
        """Compute the training loss, a scalar, of images, shape (n, C, H, W), with labels, shape (n,)."""
        return self.loss(self(images), labels)

    def class_cosines(self, embeddings: Tensor) -> Tensor:
        """Compute the cosine similarity to each class's proxy, shape (n, training classes).

        Raises:
            UsageError: when the loss has no proxies.
        """
        with torch.autocast(embeddings.device.type, enabled=False):
            return self.criterion.class_cosines(embeddings.float())
