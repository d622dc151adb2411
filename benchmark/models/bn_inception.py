"""BN-Inception, the backbone of many tables in the field, which timm does not include."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from benchmark.models.backbone import BACKBONES
from benchmark.models.library_backbone import ArchitectureInfo, LibraryBackbone, weights_unavailable
from benchmark.models.pytorchcv_store import fetch_weights, weights_name
from benchmark.models.weights_file import read_weights

_NAME = "bninception"  # pytorchcv's


class _Body(nn.Module):
    """The layers before pytorchcv's classifier, with pooling that accepts any image size.

    Args:
        features: pytorchcv's features, under the same attribute name.
        pooling: as in `BNInception`.
    """

    def __init__(self, features: nn.Module, pooling: str) -> None:
        super().__init__()
        self.features = features
        self.pooling = pooling

    def forward(self, images: Tensor) -> Tensor:
        """Map normalized images, shape (n, 3, H, W), to features, shape (n, 1024)."""
        maps: Tensor = self.features(images)
        pooled = maps.mean(dim=(2, 3))
        return pooled + maps.amax(dim=(2, 3)) if self.pooling == "avg_max" else pooled


@BACKBONES.register("bn_inception")
class BNInception(LibraryBackbone):
    """BN-Inception (Ioffe and Szegedy, 2015) of pytorchcv; image sides are multiples of 32 pixels.

    Its weights are for RGB images with ImageNet's mean and standard deviation. Proxy Anchor's published
    results start from other weights, converted from Caffe.

    Attributes:
        pooling: pooling of the last feature maps. `avg` is the architecture's own, `avg_max` the sum of their
            mean and their maximum, as in Proxy Anchor's recipe.
    """

    pooling: Literal["avg", "avg_max"] = "avg"

    def info(self) -> ArchitectureInfo:
        """Return pytorchcv's description of the architecture."""
        return ArchitectureInfo(
            mean=(0.485, 0.456, 0.406),
            std=(0.229, 0.224, 0.225),
            classifier=("output",),
            images="multiples of 32 pixels",
        )

    def random_body(self) -> nn.Module:
        """Build a new network up to its pooled features."""
        from pytorchcv.models.bninception import bninception

        features = bninception().features
        del features.final_pool  # accepts 224 pixels only
        return _Body(features, self.pooling)

    def library_body(self) -> nn.Module:
        """Build the same network with pytorchcv's weights.

        Raises:
            BenchmarkError: when they are not available.
        """
        body = self.random_body()
        try:
            weights = read_weights(fetch_weights(_NAME))
            # As pytorchcv reads them, without unused keys, but without running code from the file.
            own = body.state_dict()
            body.load_state_dict({key: value for key, value in weights.items() if key in own})
        except Exception as error:  # the network, the disk, a damaged archive
            raise weights_unavailable(self.name, error) from None
        return body

    def library_weights(self) -> str:
        """Return the name of pytorchcv's weights, with their sha1."""
        return weights_name(_NAME)
