"""Any architecture of timm, by its name there."""

from __future__ import annotations

import difflib
from functools import cache
from typing import Any

import timm
import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from benchmark.core.errors import BenchmarkError, UsageError
from benchmark.models.backbone import Backbone, BackboneEmbedder


class _Normalised(nn.Module):
    """Applies mean and standard deviation before a network, so that attacks live in pixel space."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        output: Tensor = self.network((images - self.mean) / self.std)
        return output


class TimmBackbone(Backbone):
    """An architecture of timm with its classifier replaced by a linear layer to the embedding.

    Attributes:
        dim: dimension of the embedding.
        pretrained: start from timm's weights, which are fetched on first use; random weights otherwise.
    """

    dim: PositiveInt = 512
    pretrained: bool = False

    def build(self, image_shape: tuple[int, int, int]) -> BackboneEmbedder:
        """A new embedder for images of shape (C, H, W).

        Raises:
            UsageError: when the architecture cannot take images of that shape.
            BenchmarkError: when the pretrained weights cannot be had.
        """
        channels = image_shape[0]
        try:
            network = timm.create_model(
                self.name, pretrained=self.pretrained, in_chans=channels, num_classes=self.dim
            )
        except Exception as error:  # timm and its hub raise many kinds; all mean the same to the user
            if not self.pretrained:
                raise UsageError(
                    f"timm cannot build '{self.name}' for {channels} channels: {error}"
                ) from None
            raise BenchmarkError(
                f"The pretrained weights of '{self.name}' cannot be fetched ({type(error).__name__}). "
                f"Connect to the network once, or use {self.name}[pretrained=false]."
            ) from None
        settings: dict[str, Any] = network.default_cfg  # type: ignore[assignment]
        mean, std = settings.get("mean", (0.5,)), settings.get("std", (0.5,))
        if len(mean) != channels:
            mean, std = (sum(mean) / len(mean),) * channels, (sum(std) / len(std),) * channels
        embedder = BackboneEmbedder(_Normalised(network, tuple(mean), tuple(std)))
        try:
            with torch.no_grad():
                embedder.eval()(torch.zeros(1, *image_shape))
        except (RuntimeError, AssertionError, ValueError) as error:
            shape = "x".join(map(str, image_shape))
            reason = str(error).split("\n", 1)[0]
            raise UsageError(f"The backbone '{self.name}' cannot take images of {shape}: {reason}") from None
        return embedder


@cache
def timm_backbone(name: str, own: tuple[str, ...]) -> type[Backbone]:
    """The class of one timm architecture.

    Args:
        name: timm's name for it.
        own: the names that are registered here, for the message.

    Raises:
        UsageError: when timm has no such architecture.
    """
    if not timm.is_model(name):
        every = [*own, *timm.list_models()]
        near = difflib.get_close_matches(name, every, n=1, cutoff=0.5)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise UsageError(
            f"Unknown backbone '{name}'.{hint} Valid: {', '.join(own)}, and any name of timm.list_models()."
        )
    return type(
        f"Timm_{name}",
        (TimmBackbone,),
        {"name": name, "__module__": __name__, "__doc__": TimmBackbone.__doc__},
    )
