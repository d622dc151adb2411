"""Verification metrics: TAR at a FAR, and the EER, with ties counted against the model."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.core.errors import BenchmarkError
from benchmark.metrics.ties import TIE_TOLERANCE

FARS = {"tar_far_1e2": 1e-2, "tar_far_1e3": 1e-3}
"""The protocol's false accept rates, by the name of the metric."""


def verification_metrics(similarity: Tensor, same: Tensor) -> dict[str, float]:
    """Computes TAR at fixed FARs and the EER from the pairs' similarities.

    A pair is accepted when its similarity is at least the threshold, and the thresholds are the pairs' own
    similarities. FAR is the share of negative pairs that are accepted, FRR the share of positive pairs that
    are not, and TAR is 1 - FRR. Ties, similarities within `TIE_TOLERANCE`, count against the model: a
    positive pair is accepted only where all negative pairs tied with it are. So a constant embedding has
    TAR 0 and EER 1.

    Args:
        similarity: of each pair, floating point, shape (p,).
        same: whether both images of each pair have the same class, bool, shape (p,).

    Returns:
        Fractions. `tar_far_1e2`, `tar_far_1e3`: the highest TAR at thresholds whose FAR is at most 0.01 and
        0.001; with fewer than 100 or 1000 negative pairs not even one may be accepted, and the metric is left
        out. `eer`: the lowest e for which a threshold has both FAR <= e and FRR <= e. This is where the two
        rates cross. It needs no interpolation: from one threshold to the next only one of the rates changes,
        except at ties, which count in full.

    Raises:
        BenchmarkError: when shapes do not fit, a similarity is not finite, or one kind of pair is missing.
    """
    if similarity.ndim != 1 or similarity.shape != same.shape:
        raise BenchmarkError(
            f"Verification: similarities of shape {tuple(similarity.shape)} for pairs {tuple(same.shape)}."
        )
    if not torch.isfinite(similarity).all():
        raise BenchmarkError("Verification: a similarity is NaN or infinite.")
    positives, negatives = int(same.sum()), int((~same).sum())
    if not positives or not negatives:
        raise BenchmarkError(
            f"Verification: {positives} positive and {negatives} negative pairs; both are needed."
        )
    # The numbers of accepted positive and negative pairs at every threshold; positives follow tied negatives.
    penalized = similarity.double() - TIE_TOLERANCE * same
    order = penalized.argsort(descending=True)
    ordered = penalized[order]
    last = torch.cat([ordered[1:] != ordered[:-1], torch.ones(1, dtype=torch.bool, device=same.device)])
    true_accepts, false_accepts = same[order].cumsum(0)[last], (~same[order]).cumsum(0)[last]
    metrics = {}
    for name, far in FARS.items():
        allowed = int(negatives * far + 1e-9)  # a product such as 28.999999999999996 is 29
        if allowed:
            accepted = true_accepts[false_accepts <= allowed]
            metrics[name] = float(accepted.max()) / positives if len(accepted) else 0.0
    rates = torch.maximum(false_accepts.double() / negatives, (positives - true_accepts).double() / positives)
    return {**metrics, "eer": float(rates.min())}
