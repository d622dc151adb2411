"""A small convolutional network for small images."""

from __future__ import annotations

from pydantic import PositiveFloat
from torch import nn

from benchmark.models.backbone import BACKBONES, Backbone, BackboneEmbedder
from benchmark.models.smallconv_layers import GrayConv2d, LayoutFlatten


@BACKBONES.register("smallconv")
class SmallConv(Backbone):
    """Four convolutions with batch norm, then a linear layer; for images of about 8 to 64 pixels.

    Attributes:
        width: factor on the number of channels (16, 16, 32, 32).
    """

    width: PositiveFloat = 1.0

    def build(self, image_shape: tuple[int, int, int], natural: bool = False) -> BackboneEmbedder:
        """Build a new embedder for images of shape (C, H, W), of any size."""
        channels, height, width = image_shape
        layers: list[nn.Module] = []
        for base, stride in ((16, 2), (16, 2), (32, 1), (32, 2)):
            out = max(1, round(base * self.width))
            layers += [
                (nn.Conv2d if layers else GrayConv2d)(channels, out, 3, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(out),
                nn.ReLU(inplace=True),
            ]
            channels, height, width = out, -(-height // stride), -(-width // stride)
        layers += [LayoutFlatten(), nn.Linear(channels * height * width, self.dim)]
        return BackboneEmbedder(nn.Sequential(*layers))
