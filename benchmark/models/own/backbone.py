"""An own model as the start of a defense: a backbone that is trained further."""

from __future__ import annotations

from functools import cache
from typing import ClassVar

import torch
from torch import nn

from benchmark.core.errors import UsageError
from benchmark.models.backbone import BACKBONES, Backbone, BackboneEmbedder
from benchmark.models.own.base import OwnModel, own_model
from benchmark.models.own.named_by_model import NamedByModel


class OwnBackbone(NamedByModel, Backbone):
    """A model of the user's own, from which every defense begins its training.

    The spec is that of the model; the embedding has the model's own dimension.
    """

    channels_last: ClassVar[bool] = False

    def embedding_dim(self, image_shape: tuple[int, int, int]) -> int:
        """Return the dimension of the model's vectors for images of that shape."""
        return _dimension(self.model, image_shape)

    def build(self, image_shape: tuple[int, int, int], natural: bool = False) -> BackboneEmbedder:
        """Load the model for training.

        Raises:
            UsageError: when it cannot be loaded, or trained.
        """
        network, _ = self.model.loaded()
        if not self.model.gradients or not any(p.is_floating_point() for p in network.parameters()):
            raise UsageError(f"{self.short_name} has no weights that could be trained further.")
        try:  # before it is copied, by which an exported program loses its refusal
            network.train()
        except NotImplementedError:
            raise UsageError(
                f"{self.short_name} keeps the mode of its export, so it cannot be trained further; give the "
                "Python function that makes the network, with weights=FILE."
            ) from None
        network = self.model.copied(network)  # other members and seeds begin from the same weights
        for parameter in network.parameters():
            parameter.requires_grad_(True)
        return BackboneEmbedder(nn.Sequential(self.model.preprocess(network), network))

    def check(self, image_shape: tuple[int, int, int], natural: bool = False) -> None:
        """Run blank images through the model.

        Raises:
            UsageError: when it does not embed them.
        """
        self.build(image_shape)
        self.embedding_dim(image_shape)

    def fingerprint(self, natural: bool) -> str:
        """Hash the weights that training begins from."""
        return self.model.fingerprint()


@cache
def _dimension(model: OwnModel, image_shape: tuple[int, int, int]) -> int:
    embedder = model.embedder()
    generator = torch.Generator().manual_seed(0)
    embedder.settle(torch.rand(2, *image_shape, generator=generator))
    with torch.no_grad():
        return int(embedder(torch.rand(2, *image_shape, generator=generator)).shape[1])


@cache
def _find(name: str) -> type[Backbone] | None:
    # A timm name is a backbone already, with a new last layer.
    if ":" not in name and "/" not in name and "." not in name:
        return None
    kind = own_model(name)
    if kind is None or kind.title == "timm network":
        return None
    attributes = {"name": name, "__module__": __name__, "__doc__": OwnBackbone.__doc__}
    return type("OwnBackboneOf", (OwnBackbone,), attributes)


BACKBONES.add_fallback(_find)
