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

    @property
    def head(self) -> nn.Linear | None:
        """The layer that the embedding comes out of: the network's last linear layer, None without any."""
        linear = [module for module in self.network.modules() if isinstance(module, nn.Linear)]
        return linear[-1] if linear else None

    def head_parameters(self) -> list[nn.Parameter]:
        """The parameters of `head`, which are new where the rest is pretrained; empty without a head."""
        return list(self.head.parameters()) if self.head is not None else []

    def forward(self, images: Tensor) -> Tensor:
        """Embeds images, shape (n, C, H, W) in [0, 1], as unit vectors, shape (n, d)."""
        return F.normalize(self.network(images).float())  # in full precision whatever the network's


class Backbone(Parameters):
    """An architecture; subclasses implement `build`, and the rest where weights can be loaded into it.

    Attributes:
        dim: dimension of the embedding.
    """

    dim: PositiveInt = 64

    def build(self, image_shape: tuple[int, int, int], natural: bool = False) -> BackboneEmbedder:
        """A new embedder for images of shape (C, H, W).

        Args:
            image_shape: (C, H, W).
            natural: whether the images are photographs, for which pretrained weights are made.

        Raises:
            UsageError: when the architecture cannot take images of that shape.
            BenchmarkError: when pretrained weights are wanted and cannot be had.
        """
        raise NotImplementedError

    def build_random(self, image_shape: tuple[int, int, int]) -> BackboneEmbedder:
        """What `build` makes, with random weights: to count its cost, or to load a checkpoint over it.

        Raises:
            UsageError: when the architecture cannot take images of that shape.
        """
        return self.build(image_shape)

    def check(self, image_shape: tuple[int, int, int], natural: bool = False) -> None:
        """Tells early and without the network whether `build` can do what it is asked; as for `build`.

        Raises:
            UsageError: when it cannot.
        """

    def fetch(self, natural: bool = False) -> None:
        """Fetches the weights that `build` starts from, so that they are had before anything is trained.

        Raises:
            BenchmarkError: when they cannot be had.
        """

    def with_pretrained(self, value: str) -> Backbone:
        """This backbone with another choice of weights, unless its spec makes one; itself if it has none."""
        return self

    def fingerprint(self, natural: bool) -> str:
        """What identifies the weights that `build` starts from; empty for random ones.

        Raises:
            UsageError: when they are a file that cannot be read.
        """
        return ""


def _from_timm(name: str) -> type[Backbone] | None:
    # timm takes seconds to import, so it is asked only for names that are not ours.
    from benchmark.models.timm_backbone import timm_backbone

    return timm_backbone(name, tuple(BACKBONES.names()))


BACKBONES: Registry[Backbone] = Registry("backbone", Backbone, fallback=_from_timm)
