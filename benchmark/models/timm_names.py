"""Adds timm's architectures to the registry of backbones, without importing timm before one is named."""

from __future__ import annotations

from benchmark.models.backbone import BACKBONES, Backbone
from benchmark.models.own import backbone  # noqa: F401 (names of own models are looked up before timm's)


def _find(name: str) -> type[Backbone] | None:
    # Importing timm takes seconds.
    from benchmark.models.timm_backbone import timm_backbone

    return timm_backbone(name, tuple(BACKBONES.names()))


BACKBONES.add_fallback(_find)
