"""Backbones, and the modules that embedders consist of."""

from benchmark.models import timm_names  # noqa: F401 (importing it adds timm's names to the registry)
from benchmark.models.backbone import BACKBONES, Backbone, BackboneEmbedder
from benchmark.models.bn_inception import BNInception
from benchmark.models.cost import PassCounter, count_flops
from benchmark.models.ensemble import Ensemble
from benchmark.models.folding import fold_batch_norm
from benchmark.models.frozen import frozen, frozen_embedders
from benchmark.models.member import Member
from benchmark.models.smallconv import SmallConv

__all__ = [
    "BACKBONES",
    "BNInception",
    "Backbone",
    "BackboneEmbedder",
    "Ensemble",
    "Member",
    "PassCounter",
    "SmallConv",
    "count_flops",
    "fold_batch_norm",
    "frozen",
    "frozen_embedders",
]
