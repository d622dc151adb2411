"""Budgets of attacks: a data set's headline, multiples of a budget, and the whole range of pixels."""

from __future__ import annotations

import math

from attacks.geometry import MAX_L2, is_budget
from benchmark.core.errors import UsageError
from benchmark.data import Dataset, Folders
from benchmark.evaluation.check_input import SAME
from benchmark.planning.config import Configuration


def multiple(eps: float, factor: float, planned: list[float], norm: str = "linf") -> float:
    """Multiplies a budget without floating-point noise; reuses an equal budget of the plan.

    Three times 0.1 is 0.3; twice 8/255 has more decimals than ten, and stays 16/255. In l0, budgets are whole
    numbers of pixels, at least one.
    """
    product = eps * factor
    if norm == "l0":
        return float(max(1, round(product)))
    tidy = round(product, 10)
    own = tidy if math.isclose(tidy, product, rel_tol=1e-12) else product
    return next((other for other in planned if abs(other - product) < SAME), own)


CHECK_FACTORS = (0.5, 2.0)
"""Other budgets for the check that scores fall as the budget grows, in units of the suite's."""


def compared_budgets(dataset: Dataset, norm: str, budgets: list[float], planned: list[float]) -> list[float]:
    """Lists the budgets at which the checks need the reference attack beside those asked for.

    These are half and twice each, and the one that the data set is ranked at: some checks look at that alone,
    whichever are asked for.

    Args:
        dataset: the data set.
        norm: "linf", "l2" or "l0".
        budgets: those asked for.
        planned: those of the plan, the last of them that of the whole range of pixels, which all are below.
    """
    others = [multiple(eps, factor, planned, norm) for eps in budgets for factor in CHECK_FACTORS]
    ranked = dataset.headline_eps.get(norm, 0.0)
    others += [ranked] if is_budget(norm, ranked) else []
    return [other for other in dict.fromkeys(others) if other < planned[-1] and other not in budgets]


WANTED = {
    "linf": "above 0 and at most 1, as 8/255: pixels are in [0, 1]",
    "l2": f"above 0 and at most {MAX_L2:g}: no two images are farther from one another",
    "l0": "a whole number of pixels from 1 on",
}
"""What a budget must be, for each norm."""


def headline(dataset: Dataset, norm: str, option: str) -> float:
    """Looks up the budget that a data set is ranked at.

    Args:
        dataset: the data set.
        norm: "linf", "l2" or "l0".
        option: what else gives a budget, in words.

    Raises:
        UsageError: when the data set has none, or one that cannot be; the message says how to give one.
    """
    if norm not in dataset.headline_eps:
        own = f", or {norm}=EPS in its spec, as in [{norm}=8/255]" if norm in dataset.attributes() else ""
        option += ", a number of pixels" if norm == "l0" else ""
        raise UsageError(f"The data set '{dataset.spec}' has no headline eps for {norm}; give {option}{own}.")
    eps = dataset.headline_eps[norm]
    if not is_budget(norm, eps):
        found = f"has the headline eps {eps:g} for {norm}; it must be {WANTED[norm]}."
        raise UsageError(f"The data set '{dataset.spec}' {found}")
    return eps


def training_eps(dataset: Dataset, config: Configuration) -> float:
    """Chooses the L_inf budget of the training attack, where the recipe names none.

    It is the data set's headline; where there is none, the largest budget that the run attacks with in L_inf.

    Raises:
        UsageError: when there is neither.
    """
    if "linf" not in dataset.headline_eps and config.eps and config.norm == ["linf"]:
        return max(config.eps)
    return headline(dataset, "linf", "--eps in that norm, or 'training: {eps: EPS}' in --config")


def whole_range(dataset: Dataset, norm: str, folders: Folders) -> float:
    """Computes the largest distance of two images in [0, 1], at which any image can become any other."""
    if norm == "linf":
        return 1.0
    channels, *sides = dataset.seen_shape(folders)
    pixels = math.prod(sides)
    return float(pixels) if norm == "l0" else math.sqrt(channels * pixels)
