"""Raw pixels as embeddings: a reference, not a defense."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from benchmark.core.embedder import Embedder
from defenses.base import DEFENSES, Batch, Defense, InnerMaximiser, MemberFactory

_SIDE = 32


class PixelEmbedder(Embedder):
    """Flattens images to unit vectors, after average pooling to at most 32 x 32 pixels."""

    only_parts: ClassVar[tuple[str, ...]] = ()

    def forward(self, images: Tensor) -> Tensor:
        """Embeds images, shape (n, C, H, W) in [0, 1], as unit vectors, shape (n, C * h * w)."""
        height, width = images.shape[2:]
        if max(height, width) > _SIDE:
            images = F.adaptive_avg_pool2d(images, (min(height, _SIDE), min(width, _SIDE)))
        return F.normalize(images.flatten(1))


@DEFENSES.register("pixels")
class Pixels(Defense):
    """Raw pixels as the embedding: shows how much is learned at all. A reference row, never ranked."""

    trained = False
    reference = True

    def build(self, make_member: MemberFactory, labels: Tensor) -> PixelEmbedder:
        """Builds the embedder, which has no parameters."""
        return PixelEmbedder()

    def loss(self, model: Embedder, batch: Batch, attack: InnerMaximiser) -> Tensor:
        """Raises NotImplementedError; never called, since a model without parameters is not trained."""
        raise NotImplementedError
