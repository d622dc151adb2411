"""Training losses of pytorch-metric-learning, in a registry."""

from benchmark.losses import (  # noqa: F401 (importing them registers them)
    angular,
    arcface,
    contrastive,
    multi_similarity,
    normalized_softmax,
    proxy_anchor,
    proxy_nca,
    soft_triple,
    triplet,
)
from benchmark.losses.base import (
    LOSSES,
    SCALAR_ADVICE,
    Criterion,
    Loss,
    cosines_to_columns,
    cosines_to_rows,
    on_tuples,
    wrong_criterion,
    wrong_loss,
)

__all__ = [
    "LOSSES",
    "SCALAR_ADVICE",
    "Criterion",
    "Loss",
    "cosines_to_columns",
    "cosines_to_rows",
    "on_tuples",
    "wrong_criterion",
    "wrong_loss",
]
