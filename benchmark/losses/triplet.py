"""The triplet loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

from pydantic import PositiveFloat
from torch import nn

from benchmark.losses.base import LOSSES, Criterion, Loss


def _semihard(margin: float) -> nn.Module:
    from pytorch_metric_learning.miners import TripletMarginMiner

    return TripletMarginMiner(margin=margin, type_of_triplets="semihard")


def _distance_weighted(margin: float) -> nn.Module:
    from pytorch_metric_learning.miners import DistanceWeightedMiner

    return DistanceWeightedMiner()


MINERS: Mapping[str, Callable[[float], nn.Module | None]] = {
    "semihard": _semihard,
    "distance_weighted": _distance_weighted,
    "all": lambda margin: None,
}
"""For each value of `mining`, builds the miner for a margin; None takes all triplets."""


@LOSSES.register("triplet")
class Triplet(Loss):
    """Triplet loss, max(0, d(a, p) - d(a, n) + margin), on a batch (Schroff et al. 2015, arXiv 1503.03832).

    d is the Euclidean distance of unit vectors, in [0, 2]; Schroff et al. square it.

    Attributes:
        margin: margin, in units of that distance.
        mining: how triplets are selected. "semihard": negatives farther than the positive, but by less than
            the margin (Schroff et al.); "distance_weighted": a random positive and a negative drawn so that
            all distances are equally frequent (Wu et al. 2017, arXiv 1706.07567, sec. 4.1); "all".
    """

    has_proxies: ClassVar[bool] = False

    margin: PositiveFloat = 0.2
    mining: Literal["semihard", "distance_weighted", "all"] = "semihard"

    def build(self, num_classes: int, dim: int) -> Criterion:
        """Builds a criterion; it has no parameters."""
        from pytorch_metric_learning.losses import TripletMarginLoss

        return Criterion(TripletMarginLoss(margin=self.margin), miner=MINERS[self.mining](self.margin))
