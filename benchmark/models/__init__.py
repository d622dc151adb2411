"""Backbones, and the modules that embedders consist of."""

from benchmark.models import timm_names  # noqa: F401 (importing it adds timm's names to the registry)
from benchmark.models.backbone import BACKBONES, Backbone, BackboneEmbedder, wrong_backbone
from benchmark.models.bn_inception import BNInception
from benchmark.models.checkpoint import (
    check_saveable,
    check_shapes,
    load_checkpoint,
    resizable,
    save_checkpoint,
    shapes_of,
)
from benchmark.models.cost import PassCounter, count_flops
from benchmark.models.ensemble import Ensemble
from benchmark.models.folding import fold_batch_norm
from benchmark.models.frozen import frozen, frozen_embedders
from benchmark.models.member import Member
from benchmark.models.precision import in_float32, whole_float32
from benchmark.models.promises import (
    CHECKED_IMAGES,
    check_embedder,
    check_form,
    check_same,
    check_trainable,
    check_unit_vectors,
)
from benchmark.models.rounding import allowed_difference
from benchmark.models.smallconv import SmallConv

__all__ = [
    "BACKBONES",
    "CHECKED_IMAGES",
    "BNInception",
    "Backbone",
    "BackboneEmbedder",
    "Ensemble",
    "Member",
    "PassCounter",
    "SmallConv",
    "allowed_difference",
    "check_embedder",
    "check_form",
    "check_same",
    "check_saveable",
    "check_shapes",
    "check_trainable",
    "check_unit_vectors",
    "count_flops",
    "fold_batch_norm",
    "frozen",
    "frozen_embedders",
    "in_float32",
    "load_checkpoint",
    "resizable",
    "save_checkpoint",
    "shapes_of",
    "whole_float32",
    "wrong_backbone",
]
