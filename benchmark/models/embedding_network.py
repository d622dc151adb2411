"""A library's network with a new last layer, as used in metric learning."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from benchmark.models.frozen import batch_norms


class EmbeddingNetwork(nn.Module):
    """Normalizes images, extracts features and maps them linearly to the embedding.

    A grey image becomes three equal channels, so that weights made for color images can be used unchanged.

    Args:
        body: maps normalized images, shape (n, 3, H, W), to features, shape (n, features).
        features: number of features.
        dim: dimension d of the embedding.
        mean, std: mean and standard deviation of each channel, in units of the range [0, 1]. They are part of
            the network, so that attacks perturb pixels.
        dropout: probability that a feature is dropped in training, in [0, 1).
        freeze_bn: keep batch norm in evaluation mode, whatever the mode of the network, and its scale and
            shift fixed (the recipe of Kim et al., "Proxy Anchor Loss for Deep Metric Learning", 2020).
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        body: nn.Module,
        features: int,
        dim: int,
        mean: Sequence[float],
        std: Sequence[float],
        dropout: float = 0.0,
        freeze_bn: bool = False,
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)
        self.body = body
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.head = nn.Linear(features, dim)
        self.freeze_bn = freeze_bn
        if freeze_bn:
            for norm in batch_norms(self.body):
                norm.requires_grad_(False)
            self.train(self.training)

    def train(self, mode: bool = True) -> EmbeddingNetwork:
        """Set the mode of all modules except frozen batch norm."""
        super().train(mode)
        if self.freeze_bn:
            for norm in batch_norms(self.body):
                norm.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Map images, shape (n, 1 or 3, H, W) in [0, 1], to vectors, shape (n, d)."""
        output: Tensor = self.head(self.dropout(self.body((images - self.mean) / self.std)))
        return output
