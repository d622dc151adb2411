"""The user's own models: found by a spec, loaded, and wrapped as embedders."""

from benchmark.models.own import (  # noqa: F401 (importing them registers them)
    files,
    live,
    python_entry,
    timm_network,
)
from benchmark.models.own.base import OwnModel, own_model
from benchmark.models.own.embedder import OwnEmbedder
from benchmark.models.own.live import live_model

__all__ = ["OwnEmbedder", "OwnModel", "live_model", "own_model"]
