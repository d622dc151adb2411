"""What a backbone is, and the registry that opens onto timm for every name that is not ours."""

from __future__ import annotations

import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from benchmark.core.embedder import Embedder
from benchmark.core.parameters import Parameters
from benchmark.core.registry import Registry


class BackboneEmbedder(Embedder):
    """A network whose output is scaled to unit length.

    Args:
        network: maps images in [0, 1], shape (n, C, H, W), to vectors, shape (n, d).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Embeds images, shape (n, C, H, W) in [0, 1], as unit vectors, shape (n, d)."""
        return F.normalize(self.network(images).float())  # in full precision whatever the network's


class Backbone(Parameters):
    """An architecture; subclasses implement `build`.

    Attributes:
        dim: dimension of the embedding.
    """

    dim: PositiveInt = 64

    def build(self, image_shape: tuple[int, int, int]) -> BackboneEmbedder:
        """A new embedder with fresh weights for images of shape (C, H, W).

        Raises:
            UsageError: when the architecture cannot take images of that shape.
        """
        raise NotImplementedError


def _from_timm(name: str) -> type[Backbone] | None:
    # timm takes seconds to import, so it is asked only for names that are not ours.
    from benchmark.models.timm_backbone import timm_backbone

    return timm_backbone(name, tuple(BACKBONES.names()))


BACKBONES: Registry[Backbone] = Registry("backbone", Backbone, fallback=_from_timm)
