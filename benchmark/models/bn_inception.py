"""BN-Inception, which the field's tables are made with and timm does not have."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from benchmark.models.backbone import BACKBONES
from benchmark.models.library_backbone import Facts, LibraryBackbone, unreachable
from benchmark.models.pytorchcv_store import fetch_weights, weights_name
from benchmark.models.weights_file import read_weights

_NAME = "bninception"  # pytorchcv's


class _Body(nn.Module):
    """The layers before pytorchcv's classifier, with a pooling that takes any size.

    Args:
        features: pytorchcv's features, under their name there.
        pooling: as in `BNInception`.
    """

    def __init__(self, features: nn.Module, pooling: str) -> None:
        super().__init__()
        self.features = features
        self.pooling = pooling

    def forward(self, images: Tensor) -> Tensor:
        """Maps normalised images, shape (n, 3, H, W), to features, shape (n, 1024)."""
        maps: Tensor = self.features(images)
        pooled = maps.mean(dim=(2, 3))
        return pooled + maps.amax(dim=(2, 3)) if self.pooling == "avg_max" else pooled


@BACKBONES.register("bn_inception")
class BNInception(LibraryBackbone):
    """BN-Inception (Ioffe and Szegedy, 2015), pytorchcv's; images of multiples of 32 pixels.

    Its weights are for RGB images with ImageNet's mean and deviation, not those behind Proxy Anchor's
    published figures, which come from Caffe.

    Attributes:
        pooling: of the last feature maps. `avg` is the architecture's own, `avg_max` the sum of their mean
            and their maximum, as in Proxy Anchor's recipe.
    """

    pooling: Literal["avg", "avg_max"] = "avg"

    def facts(self) -> Facts:
        """What pytorchcv says of the architecture."""
        return Facts(
            mean=(0.485, 0.456, 0.406),
            std=(0.229, 0.224, 0.225),
            classifier=("output",),
            wants="multiples of 32 pixels",
        )

    def random_body(self) -> nn.Module:
        """A new network up to its pooled features."""
        from pytorchcv.models.bninception import bninception

        features = bninception().features
        del features.final_pool  # takes 224 pixels only
        return _Body(features, self.pooling)

    def library_body(self) -> nn.Module:
        """The same with pytorchcv's weights.

        Raises:
            BenchmarkError: when they cannot be had.
        """
        body = self.random_body()
        try:
            weights = read_weights(fetch_weights(_NAME))
            # As pytorchcv reads them, what is of no use left out, but with nothing in the file run.
            own = body.state_dict()
            body.load_state_dict({key: value for key, value in weights.items() if key in own})
        except Exception as error:  # the network, the disk, a damaged archive
            raise unreachable(self.name, error) from None
        return body

    def library_weights(self) -> str:
        """The name of pytorchcv's weights, with their sha1."""
        return weights_name(_NAME)
