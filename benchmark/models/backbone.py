"""The backbone interface and the registry of backbones."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from benchmark.core.embedder import Embedder
from benchmark.core.parameters import Parameters
from benchmark.core.registry import Registry
from benchmark.models.frozen import frozen


class BackboneEmbedder(Embedder):
    """A network whose output is scaled to unit length.

    Args:
        network: maps images in [0, 1], shape (n, C, H, W), to vectors, shape (n, d).
    """

    only_parts: ClassVar[tuple[str, ...]] = ("network",)

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    @property
    def head(self) -> nn.Linear | None:
        """The layer that outputs the embedding: the network's last linear layer, None without any."""
        linear = [module for module in self.network.modules() if isinstance(module, nn.Linear)]
        return linear[-1] if linear else None

    def head_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of `head`, new where the rest is pretrained; empty without a head."""
        return list(self.head.parameters()) if self.head is not None else []

    def forward(self, images: Tensor) -> Tensor:
        """Embed images, shape (n, C, H, W) in [0, 1], as unit vectors, shape (n, d)."""
        return F.normalize(self.network(images).float())  # in full precision whatever the network's


def wrong_backbone(built: object, images: Tensor, dim: int) -> str:
    """Says why what a backbone built does not fit, as a clause without a period; empty when it does.

    The embedder and the generators of torch are left as they were.

    Args:
        built: what `build` or `build_random` returned.
        images: a few images, shape (n, C, H, W), on the embedder's device.
        dim: dimension of the embedding.
    """
    if not isinstance(built, BackboneEmbedder):
        return f"it builds {type(built).__name__}, not a BackboneEmbedder"
    with torch.random.fork_rng([]), frozen(built), torch.no_grad():
        embeddings = built(images)
    wanted = (len(images), dim)
    if tuple(embeddings.shape) == wanted and embeddings.is_floating_point():
        return ""
    found = f"{embeddings.dtype} embeddings of shape {tuple(embeddings.shape)}"
    return f"images of shape {tuple(images.shape[1:])} give {found}, not {wanted}"


class Backbone(Parameters):
    """An architecture; subclasses implement `build`, and the other methods where they load weights.

    Attributes:
        channels_last: whether its weights may be laid out with the channels last, which is faster; code that
            calls `view` on feature maps cannot take that.
        dim: dimension of the embedding.
    """

    channels_last: ClassVar[bool] = True
    dim: PositiveInt = 64

    def embedding_dim(self, image_shape: tuple[int, int, int]) -> int:
        """Return the dimension of the embedding of images of shape (C, H, W)."""
        return self.dim

    def build(self, image_shape: tuple[int, int, int], natural: bool = False) -> BackboneEmbedder:
        """Build a new embedder for images of shape (C, H, W).

        Args:
            image_shape: (C, H, W).
            natural: whether the images are photographs, for which pretrained weights are made.

        Raises:
            UsageError: when the architecture does not accept images of that shape.
            BenchmarkError: when pretrained weights are requested and not available.
        """
        raise NotImplementedError

    def build_random(self, image_shape: tuple[int, int, int]) -> BackboneEmbedder:
        """Build the same embedder with random weights, to count its cost or to load a checkpoint into it.

        Raises:
            UsageError: when the architecture does not accept images of that shape.
        """
        return self.build(image_shape)

    def check(self, image_shape: tuple[int, int, int], natural: bool = False) -> None:
        """Check early, without a connection, that `build` will accept the same arguments.

        Raises:
            UsageError: when it will not.
        """

    def fetch(self, natural: bool = False) -> None:
        """Download the weights that `build` starts from, before anything is trained.

        Raises:
            BenchmarkError: when they are not available.
        """

    def with_pretrained(self, value: str) -> Backbone:
        """Return this backbone with a choice of weights; itself where its spec has one or it takes none."""
        return self

    def fingerprint(self, natural: bool) -> str:
        """Return what identifies the weights that `build` starts from; empty for random weights.

        Raises:
            UsageError: when they are a file that cannot be read.
        """
        return ""


BACKBONES: Registry[Backbone] = Registry("backbone", Backbone)
