"""What the checks look at: what became of one model under every attack that was run on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import sqrt
from typing import Literal

import numpy as np
from scipy.special import ndtr, stdtrit

from benchmark.core.errors import BenchmarkError

FLOOR = 0.02
"""The smallest tolerance: 2 points of R@1."""

SHARE = 0.1
"""The smallest tolerance of an objective, which has no unit, as a share of its deviation over queries."""

ERRORS = 3.0
"""The tolerance in standard errors, where these are more."""

SAME = 1e-9
"""Two budgets or figures that differ by less are one."""


@dataclass(frozen=True, eq=False)
class ScoredClean:
    """The clean pass.

    Attributes:
        r1: recorded R@1, a fraction.
        success: of each kept query, in [0, 1], shape (queries,).
    """

    r1: float
    success: np.ndarray


@dataclass(frozen=True, eq=False)
class ScoredAttack:
    """One attack on the queries, the gallery clean.

    Attributes:
        attack: its spec.
        access: what it uses of the model.
        eps: radius of its ball.
        r1: recorded R@1, a fraction.
        success: of each kept query, in [0, 1], shape (queries,), in the order of the clean pass.
        objective: spec of what it maximises; empty where it has none.
        steps: number of steps along a gradient; None where it takes none.
        from_clean: whether it starts at the clean images, not at random ones within the ball.
        values: the objective at each kept query, shape (queries,); None where it has none, or where values
            of two attacks do not compare.
        twice: spec of the same attack with twice the steps; empty where that means nothing.
        in_suite: whether the row's worst case is made of it; others are there for the checks alone.
        diagnostics: "zero_gradient", share of images whose first gradient was exactly zero; "rescored_r1",
            R@1 of the images embedded once more as attacks see the model, a mean over as many passes as
            `r1`; of a randomised model "rescored_error", the standard error of the two's difference over
            these passes, and "rescored_passes", their number; those that were measured.
    """

    attack: str
    access: Literal["white", "black", "transfer", "none"]
    eps: float
    r1: float
    success: np.ndarray
    objective: str = ""
    steps: int | None = None
    from_clean: bool = False
    values: np.ndarray | None = None
    twice: str = ""
    in_suite: bool = False
    diagnostics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class CheckInput:
    """All that was measured of one model in one norm.

    Attributes:
        eps: the budget of the table whose row is judged.
        whole: the budget from which on the ball holds every image; None when that is not known.
        model: what was measured of the model itself: "repeat_difference", the largest absolute difference of
            two passes over one batch; "eot", passes that gradients were averaged over; "chance", R@1 of a
            random embedding; those that were measured.
        clean: None when it was not run.
        attacks: those that are done, at every budget.
        is_source: whether it is this model that transferred attacks start from.
    """

    eps: float
    whole: float | None = None
    model: Mapping[str, float] = field(default_factory=dict)
    clean: ScoredClean | None = None
    attacks: tuple[ScoredAttack, ...] = ()
    is_source: bool = False

    def worst_of_suite(self) -> np.ndarray | None:
        """Each query's success under the worst of the suite and the clean pass, (queries,); None without."""
        suite = [a.success for a in self.attacks if a.in_suite and abs(a.eps - self.eps) < SAME]
        if not suite:
            return None
        worst: np.ndarray = np.minimum.reduce([*suite, *([self.clean.success] if self.clean else [])])
        return worst

    def at_eps(self, access: str) -> list[ScoredAttack]:
        """The attacks of that access at the table's budget."""
        return [a for a in self.attacks if a.access == access and abs(a.eps - self.eps) < SAME]

    def over_all(self) -> list[ScoredAttack]:
        """The white-box attacks whose ball holds every image; those from the clean images if there are any.

        A random point of such a ball is another image already: to start there succeeds without a gradient.
        """
        if self.whole is None:
            return []
        enough = self.whole * (1 - 1e-6)  # a budget may have been rounded
        found = [a for a in self.attacks if a.access == "white" and a.eps >= enough]
        return [a for a in found if a.from_clean] or found


def strongest(attacks: list[ScoredAttack]) -> ScoredAttack | None:
    """The attack that alone leaves the lowest R@1, the first of them in a tie; None of none."""
    return min(attacks, key=lambda scored: scored.r1, default=None)


def tolerance(samples: np.ndarray, floor: float = FLOOR) -> float:
    """What the mean of samples, shape (n,), may be off: 3 of its standard errors, no less than a floor."""
    if len(samples) < 2:
        return floor
    return max(floor, ERRORS * float(np.std(samples, ddof=1)) / sqrt(len(samples)))


def paired(first: np.ndarray, second: np.ndarray, floor: float = FLOOR) -> tuple[float, float]:
    """The mean of first - second over the same queries, and its tolerance.

    The error is that of the difference: a query that is hard for both says nothing about which is higher.

    Args:
        first: one figure a query, shape (n,).
        second: the other figure of the same queries, shape (n,).
        floor: the smallest tolerance, in the figures' units.

    Raises:
        BenchmarkError: when there are different numbers of queries.
    """
    if first.shape != second.shape:
        raise BenchmarkError(f"Attacks on {len(first)} and on {len(second)} queries cannot be compared.")
    difference = first.astype(np.float64) - second.astype(np.float64)
    return float(difference.mean()), tolerance(difference, floor)


def redrawn(error: float, passes: float) -> float:
    """What the mean difference over some pairs of passes may be off, as `tolerance` has it.

    All queries of a pass may share its draws, so only passes tell the error. There are few of them: instead
    of 3 standard errors, so many of Student's distribution as are exceeded as seldom.

    Args:
        error: the standard error of the mean; 0 for a model that is not randomised.
        passes: pairs of passes that it was taken over, 2 or more unless it is 0.
    """
    return max(FLOOR, error * float(stdtrit(max(1.0, passes - 1), ndtr(ERRORS))))
