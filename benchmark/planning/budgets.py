"""Budgets of attacks: a data set's headline, multiples of a budget, and the whole range of pixels."""

from __future__ import annotations

import math

from benchmark.core.errors import UsageError
from benchmark.data import Dataset, Folders
from benchmark.evaluation.check_input import SAME


def multiple(eps: float, factor: float, planned: list[float]) -> float:
    """Multiplies a budget without floating-point noise; reuses an equal budget of the plan.

    Three times 0.1 is 0.3; twice 8/255 has more decimals than ten, and stays 16/255.
    """
    product = eps * factor
    tidy = round(product, 10)
    own = tidy if math.isclose(tidy, product, rel_tol=1e-12) else product
    return next((other for other in planned if abs(other - product) < SAME), own)


def headline(dataset: Dataset, norm: str, option: str) -> float:
    """Looks up the budget that a data set is ranked at.

    Raises:
        UsageError: when the data set has none; the message names the option that gives one.
    """
    if norm not in dataset.headline_eps:
        raise UsageError(f"The data set '{dataset.spec}' has no headline eps for {norm}; give {option}.")
    return dataset.headline_eps[norm]


def whole_range(dataset: Dataset, norm: str, folders: Folders) -> float:
    """Computes the largest distance of two images in [0, 1], at which any image can become any other."""
    if norm == "linf":
        return 1.0
    return math.sqrt(math.prod(dataset.seen_shape(folders)))
