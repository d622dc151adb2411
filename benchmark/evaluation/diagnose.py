"""Diagnostics of a model itself, for the checks for gradient masking."""

from __future__ import annotations

import torch

from benchmark.evaluation.pool_embeddings import PoolEmbeddings
from benchmark.evaluation.slopes import measure_slopes


def diagnose(embeddings: PoolEmbeddings, eot_samples: int) -> dict[str, float]:
    """Measures properties of a model on its clean pool.

    Args:
        embeddings: the clean pool.
        eot_samples: EOT samples over which attacks average the gradients of a randomised model.

    Returns:
        "repeat_difference", the largest absolute difference between entries of two forward passes over one
        batch; "randomised", 1 when the model declares itself randomised, else 0; "eot", the EOT samples of
        each gradient; "chance", R@1 of a random embedding: the probability that another image of the gallery
        is of the query's class; "slope_correlation", "slope_ratio" and "stand_in", where `measure_slopes`
        returns them; of a model that is not randomised "rescored_difference", the largest absolute difference
        between entries of the pool's embeddings and of those in other batches, and "rescored_allowed", how
        large rounding may make it.
    """
    first, second = embeddings.embed_batch_twice()
    classes = int(embeddings.labels.max()) + 1
    queries, gallery = (
        torch.bincount(embeddings.labels[indices], minlength=classes).double()
        for indices in (embeddings.query_indices, embeddings.gallery_indices)
    )
    own = 0 if embeddings.has_query_split else 1  # the query itself is in the gallery and is excluded
    candidates = max(1, len(embeddings.gallery_indices) - own)
    chance = (queries * (gallery - own)).sum() / (len(embeddings.query_indices) * candidates)
    again = {}
    if not embeddings.randomised:
        apart = (embeddings.reembed("clean") - embeddings.clean()).abs().max()
        again = {"rescored_difference": float(apart), "rescored_allowed": embeddings.allowed_difference}
    return again | {
        "repeat_difference": float((first - second).abs().max()),
        "randomised": float(embeddings.randomised),
        "eot": float(eot_samples if embeddings.randomised else 1),
        "chance": float(chance),
        **measure_slopes(embeddings),
    }
