"""Verification: are two images of one class? TAR at a FAR, and the EER, with every tie counted against it."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.core.errors import BenchmarkError

FARS = {"tar_far_1e2": 1e-2, "tar_far_1e3": 1e-3}
"""The protocol's false accept rates, by the name of the figure."""


def verification_metrics(similarity: Tensor, same: Tensor) -> dict[str, float]:
    """Scores pairs by their similarities. A pair is accepted when it is at least as similar as a threshold.

    The threshold is taken from the scored pairs themselves. FAR is the share of negative pairs that are
    accepted, FRR the share of positive ones that are not, and TAR is 1 - FRR. Pairs that are equally similar
    are accepted together or not at all, so that a constant embedding has TAR 0 and EER 1.

    Args:
        similarity: of each pair, floating point, shape (p,).
        same: whether each pair is of one class, bool, shape (p,).

    Returns:
        Fractions. `tar_far_1e2`, `tar_far_1e3`: the highest TAR at thresholds whose FAR is at most 0.01 and
        0.001; with fewer than 100 or 1000 negative pairs not even one may be accepted, and the figure is left
        out. `eer`: the lowest e for which a threshold has both FAR <= e and FRR <= e. This is where the two
        rates cross, and needs no interpolation: between two thresholds only one of the rates changes, except
        at ties, which count in full.

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
    # Pairs accepted of each kind, at every threshold; the last of equals speaks for all of them.
    order = similarity.argsort(descending=True)
    ordered = similarity[order]
    last = torch.cat([ordered[1:] != ordered[:-1], torch.ones(1, dtype=torch.bool, device=same.device)])
    right, wrong = same[order].cumsum(0)[last], (~same[order]).cumsum(0)[last]
    found = {}
    for name, far in FARS.items():
        allowed = int(negatives * far + 1e-9)  # a product such as 28.999999999999996 is 29
        if allowed:
            accepted = right[wrong <= allowed]
            found[name] = float(accepted.max()) / positives if len(accepted) else 0.0
    rates = torch.maximum(wrong.double() / negatives, (positives - right).double() / positives)
    return {**found, "eer": float(rates.min())}
