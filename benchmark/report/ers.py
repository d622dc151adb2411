"""The empirical robustness score of ten ranking measures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import nan

NORMALIZED: dict[str, Callable[[float], float]] = {
    "ca_plus": lambda rank: 2 * rank,
    "ca_minus": lambda rank: 1 - rank,
    "qa_plus": lambda rank: 2 * rank,
    "qa_minus": lambda rank: 1 - rank,
    "tma": lambda cosine: 1 - cosine,
    "es_d": lambda distance: (2 - distance) / 2,
    "es_r1": lambda recall: recall,
    "ltm_r1": lambda recall: recall,
    "gtm_r1": lambda recall: recall,
    "gtt": lambda retained: retained,
}
"""Rescales each measure (ranks, recalls and fractions in [0, 1]): broken 0, robust 1."""


def empirical_robustness_score(measures: Mapping[str, float]) -> float:
    """Computes the mean of the normalized measures (Zhou et al. 2021, arXiv 2106.03614), as a fraction.

    The authors report it in percent. As published, nothing is clipped: a rank above a random one's 0.5 or a
    negative cosine makes more than 1.

    Args:
        measures: their values by name; names that `NORMALIZED` does not hold are ignored.

    Returns:
        nan when one is missing.
    """
    return sum(scale(measures.get(name, nan)) for name, scale in NORMALIZED.items()) / len(NORMALIZED)
