"""What the checks want to know of a model itself."""

from __future__ import annotations

import torch

from benchmark.evaluation.views import Views


def diagnose(views: Views, eot: int) -> dict[str, float]:
    """Looks at a model on its clean pool.

    Args:
        views: the clean pool.
        eot: passes that attacks average the gradients of a randomised model over.

    Returns:
        "repeat_difference": largest absolute difference between two passes over one batch; "randomised": 1
        when the model says that it is; "eot": passes that its gradients are averaged over; "chance": R@1 of a
        random embedding, the chance that another image of the pool is of a query's class.
    """
    first, second = views.twice()
    sizes = torch.bincount(views.labels).double()
    pairs = (sizes * (sizes - 1)).sum() / (len(views.labels) * max(1, len(views.labels) - 1))
    return {
        "repeat_difference": float((first - second).abs().max()),
        "randomised": float(views.randomised),
        "eot": float(eot if views.randomised else 1),
        "chance": float(pairs),
    }
