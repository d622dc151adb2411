"""The ProxyNCA++ loss."""

from __future__ import annotations

from typing import cast

import torch.nn.functional as F
from pydantic import PositiveFloat
from torch import Tensor, nn

from benchmark.losses.base import LOSSES, Criterion, Loss, cosines_to_rows


def proxy_nca(loss: nn.Module, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Computes the loss, a scalar: the squared distance of unit vectors is 2 - 2 cos."""
    scale = cast("float", loss.softmax_scale)
    return F.cross_entropy(2 * scale * cosines_to_rows(loss, embeddings), labels)


@LOSSES.register("proxy_nca")
class ProxyNCA(Loss):
    """ProxyNCA++ (Teh et al. 2020, arXiv 2004.01113): softmax over squared distances to one proxy per class.

    Only the paper's loss is used: a probability over all proxies, the true class's included, at a low
    temperature. Its other parts belong to the recipe (faster proxies: `proxy_lr_scale`) or the backbone (max
    pooling, layer norm), which are the same for all losses here; its class-balanced batches are not used.

    Attributes:
        temperature: divisor of the squared distances of unit vectors.
    """

    temperature: PositiveFloat = 1 / 9

    def build(self, num_classes: int, dim: int) -> Criterion:
        """Builds a criterion with randomly initialized proxies, one for each class."""
        from pytorch_metric_learning.losses import ProxyNCALoss

        loss = ProxyNCALoss(num_classes, dim, softmax_scale=1 / self.temperature)
        return Criterion(loss, cosines_to_rows, value=proxy_nca)
