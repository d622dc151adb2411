"""What the checks want to know of a model itself."""

from __future__ import annotations

import torch

from benchmark.evaluation.pool_embeddings import PoolEmbeddings


def diagnose(views: PoolEmbeddings, eot: int) -> dict[str, float]:
    """Looks at a model on its clean pool.

    Args:
        views: the clean pool.
        eot: passes that attacks average the gradients of a randomised model over.

    Returns:
        "repeat_difference": largest absolute difference between two passes over one batch; "randomised": 1
        when the model says that it is; "eot": passes that its gradients are averaged over; "chance": R@1 of a
        random embedding, the chance that another image of the gallery is of a query's class.
    """
    first, second = views.twice()
    classes = int(views.labels.max()) + 1
    asking, stored = (
        torch.bincount(views.labels[side], minlength=classes).double()
        for side in (views.asking, views.stored)
    )
    own = 0 if views.separate else 1  # a query that is in the gallery itself
    pairs = (asking * (stored - own)).sum() / (len(views.asking) * max(1, len(views.stored) - own))
    return {
        "repeat_difference": float((first - second).abs().max()),
        "randomised": float(views.randomised),
        "eot": float(eot if views.randomised else 1),
        "chance": float(pairs),
    }
