"""Input of the checks for gradient masking: one model's scores under every attack, and their tolerances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import sqrt
from typing import Literal

import numpy as np

from benchmark.core.errors import BenchmarkError
from benchmark.records.worst_queries import QueryScores, worst_of

R1_TOLERANCE = 0.02
"""Smallest tolerance of R@1: 2 points."""

OBJECTIVE_TOLERANCE = 0.1
"""Smallest tolerance of an objective, which has no unit, in standard deviations over queries."""

STANDARD_ERRORS = 3.0
"""Tolerance in standard errors, used where it exceeds the smallest tolerance."""

SAME = 1e-9
"""Two budgets or values that differ by less are the same."""


@dataclass(frozen=True, eq=False)
class ScoredClean:
    """Retrieval scores on clean images.

    Attributes:
        r1: recorded R@1, in [0, 1].
        success: of each query that has a positive, in [0, 1], shape (q,).
        halves: of a randomised model, the success in either half of the repeats, shape (2, q); else None.
    """

    r1: float
    success: np.ndarray
    halves: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class ScoredAttack:
    """Retrieval scores under one attack on the queries, with a clean gallery.

    Attributes:
        attack: spec of the attack.
        access: what the attack uses of the model.
        eps: radius of the ball.
        r1: recorded R@1, in [0, 1].
        success: of each query that has a positive, in [0, 1], shape (q,), in the order of the clean scores.
            Of an attack that follows others, the lowest over these and itself, whose mean is `r1`.
        before: of an attack that follows others, the lowest success of each query over these and clean
            images, shape (q,); only queries where it is above 0 were attacked. None for an attack on the
            whole pool.
        own: of an attack that follows others, its own success, shape (q,); None for the others.
        halves: of a randomised model, its own success in either half of the repeats, shape (2, q); else None.
        left_out: whether no query was attacked, because none stood before; its scores are those of others.
        objective: spec of the objective that the attack maximises; empty where it has none.
        steps: number of gradient steps; None for attacks without gradients.
        from_clean: whether the attack starts at the clean images, not at random ones within the ball.
        objective_values: the objective at each query, shape (q,); None where there is none, or where values
            of different attacks are not comparable.
        doubled_steps: spec of the same attack with twice the steps; empty where there is none.
        in_suite: whether the row's worst case includes the attack; others are used only by the checks.
        diagnostics: those that were measured of "zero_gradient", the fraction of images whose first gradient
            was zero in effect; "rescored_r1", R@1 of the attacked images embedded again in other batches, a
            mean over as many repeats as `r1` (or as "mixed_r1", which is there for an attack that follows
            others: R@1 where queries that it did not attack are clean); for a randomised model
            "rescored_error", the standard error of the difference between the two, and "rescored_passes", the
            number of repeats; for others "rescored_difference", the largest difference of an embedding's
            entry, and "rescored_allowed", how large rounding may make it; "disagreement", the fraction of
            "compared_queries" whose outcome is not the one that the attack's margin tells.
    """

    attack: str
    access: Literal["white", "black", "transfer", "none"]
    eps: float
    r1: float
    success: np.ndarray
    before: np.ndarray | None = None
    own: np.ndarray | None = None
    halves: np.ndarray | None = None
    left_out: bool = False
    objective: str = ""
    steps: int | None = None
    from_clean: bool = False
    objective_values: np.ndarray | None = None
    doubled_steps: str = ""
    in_suite: bool = False
    diagnostics: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether every query was attacked."""
        return self.before is None

    def gain_over(self, success: np.ndarray) -> tuple[float, float]:
        """How far it lowers R@1 below that of other attacks, and the tolerance of that.

        An attack that follows others counts at the queries that it attacked, which stood after those; at the
        rest, which fell before, it is taken to gain nothing.

        Args:
            success: of each query under the other attacks, shape (q,).

        Raises:
            BenchmarkError: when there are different numbers of queries.
        """
        found = paired_difference(success, self.success)  # which looks at their number
        return found if self.own is None else paired_difference(success, self.beside(success))

    def beside(self, success: np.ndarray) -> np.ndarray:
        """Its success beside that of other attacks, as `gain_over` compares it, shape (q,)."""
        if self.before is None or self.own is None:
            return self.success
        return np.where(self.before > 0, self.own, success)


@dataclass(frozen=True, eq=False)
class CheckInput:
    """All measurements of one model in one norm.

    Attributes:
        eps: the budget of the table that the row is in.
        whole_range: the smallest budget whose ball holds every image; None when unknown.
        model: those that were measured of the model's own diagnostics: "repeat_difference", the largest
            absolute difference between entries of two forward passes over one batch; "eot", the EOT samples
            of each gradient; "randomised", 1 where it declares that; "chance", R@1 of a random embedding;
            "slope_correlation", "slope_ratio" and "stand_in", as `measure_slopes` returns them.
        clean: scores on clean images; None when they were not run.
        attacks: the attacks that have finished, at every budget.
        is_source: whether transfer attacks take their gradients from this model.
    """

    eps: float
    whole_range: float | None = None
    model: Mapping[str, float] = field(default_factory=dict)
    clean: ScoredClean | None = None
    attacks: tuple[ScoredAttack, ...] = ()
    is_source: bool = False

    def worst_of_suite(self) -> np.ndarray | None:
        """Success of each query in the row's worst case, shape (q,); None without the suite.

        The worst case is over the suite and clean images, chosen as that of the table is (`worst_of`).
        """
        suite = [a for a in self.attacks if a.in_suite and abs(a.eps - self.eps) < SAME]
        clean = [] if self.clean is None else [QueryScores(self.clean.success, halves=self.clean.halves)]
        scores = [QueryScores(a.success, a.own, a.halves, a.left_out) for a in suite]
        return worst_of([*clean, *scores]) if suite else None

    def at_eps(self, access: str) -> list[ScoredAttack]:
        """Attacks of one access at the table's budget."""
        return [a for a in self.attacks if a.access == access and abs(a.eps - self.eps) < SAME]

    def at_whole_range(self) -> list[ScoredAttack]:
        """White-box attacks whose ball holds every image; only those from the clean images if there are any.

        A random start in such a ball is another image already, and succeeds without a gradient.
        """
        if self.whole_range is None:
            return []
        enough = self.whole_range * (1 - 1e-6)  # a budget may have been rounded
        found = [a for a in self.attacks if a.access == "white" and a.eps >= enough]
        return [a for a in found if a.from_clean] or found


def strongest(attacks: list[ScoredAttack]) -> ScoredAttack | None:
    """The attack with the lowest R@1, the first of them in a tie; None for an empty list."""
    return min(attacks, key=lambda scored: scored.r1, default=None)


def tolerance(samples: np.ndarray, smallest: float = R1_TOLERANCE) -> float:
    """Tolerance of the mean of samples, shape (n,): 3 standard errors, and at least `smallest`."""
    if len(samples) < 2:
        return smallest
    return max(smallest, STANDARD_ERRORS * float(np.std(samples, ddof=1)) / sqrt(len(samples)))


def paired_difference(
    first: np.ndarray, second: np.ndarray, smallest: float = R1_TOLERANCE
) -> tuple[float, float]:
    """Mean of first - second over the same queries, and its tolerance.

    The standard error is that of the paired difference, because the difficulty of a query is common to both.

    Args:
        first: one value for each query, shape (q,).
        second: the other value of the same queries, shape (q,).
        smallest: the smallest tolerance, in the unit of the values.

    Raises:
        BenchmarkError: when there are different numbers of queries.
    """
    if first.shape != second.shape:
        raise BenchmarkError(f"Attacks on {len(first)} and on {len(second)} queries cannot be compared.")
    difference = first.astype(np.float64) - second.astype(np.float64)
    return float(difference.mean()), tolerance(difference, smallest)


def repeat_tolerance(error: float, repeats: float) -> float:
    """Tolerance of the mean difference between the repeats of two measurements of a randomised model.

    All queries of a repeat may share its draws, so the standard error is that over repeats. As there are few
    of them, 3 standard errors are replaced by the quantile of Student's distribution with the same tail.

    Args:
        error: standard error of the mean difference; 0 for a model that is not randomised.
        repeats: number of repeats, 2 or more unless the error is 0.
    """
    from scipy.special import ndtr, stdtrit

    return max(R1_TOLERANCE, error * float(stdtrit(max(1.0, repeats - 1), ndtr(STANDARD_ERRORS))))
