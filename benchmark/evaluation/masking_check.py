"""The base class of the checks for gradient masking, their comparisons and their registry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import ClassVar, cast

from benchmark.core.own_line import explain, files_of
from benchmark.core.parameters import Parameters
from benchmark.core.registry import Registry
from benchmark.evaluation.check_input import SAME, CheckInput
from benchmark.records import CheckResult


@dataclass(frozen=True)
class Comparison:
    """One comparison of a value with a tolerance.

    Attributes:
        value: the value.
        tolerance: the tolerance, in the unit of the value.
        excess: how far the value is beyond the tolerance; the comparison fails when it is above 0.
        explanation: the attacks and values compared, in one line for readers of the table.
    """

    value: float
    tolerance: float
    excess: float
    explanation: str

    @property
    def no_number(self) -> str:
        """What about it is not a number, so that nothing is compared, in words; empty when all is."""
        parts = {"a value": self.value, "a tolerance": self.tolerance, "an excess": self.excess}
        return next((f"{name} that is not a number" for name, part in parts.items() if isnan(part)), "")

    @classmethod
    def above(cls, value: float, tolerance: float, explanation: str) -> Comparison:
        """Builds a comparison that fails when the value is larger than the tolerance."""
        return cls(value, tolerance, value - tolerance - SAME, explanation)

    @classmethod
    def below(cls, value: float, tolerance: float, explanation: str) -> Comparison:
        """Builds a comparison that fails unless the value is larger than the tolerance."""
        return cls(value, tolerance, tolerance - value + SAME, explanation)


class MaskingCheck(Parameters):
    """A check for one sign of gradient masking; subclasses implement `compare`.

    The first line of a subclass's docstring says when the check fails: `summary()` returns it, and it is the
    check's entry in the legend of the table of checks.

    Attributes:
        needs: the measurements that the check requires, in words that follow "needs".
        at_every_budget: whether its result is the same at every budget of a model, because it does not look
            at that of the table; it is then run once.
    """

    needs: ClassVar[str] = ""
    at_every_budget: ClassVar[bool] = False

    def compare(self, measured: CheckInput) -> list[Comparison]:
        """Makes every comparison that the measurements allow; none when a measurement is missing."""
        raise NotImplementedError

    def run(self, measured: CheckInput) -> CheckResult:
        """Reports the comparison with the largest excess; raises nothing.

        Returns:
            Status "fail" when that comparison fails, "pass" when none does; "not run" when there is none,
            when one has no number to compare and no other fails, and when `compare` does not work.
        """
        try:
            return self._report(self.compare(measured))
        except (Exception, SystemExit) as error:  # a plugin may do anything
            return self._not_run(f"raised {explain(error, files_of(type(self)))}")

    def _report(self, compared: object) -> CheckResult:
        if reason := wrong_comparisons(compared):
            return self._not_run(reason)
        comparisons = cast("Sequence[Comparison]", compared)
        if not comparisons:
            return self._not_run(f"needs {self.needs or 'what was not measured'}")
        numbers = [one for one in comparisons if not one.no_number]
        failing = [one for one in numbers if one.excess > 0]
        if not failing and (lacking := next((one for one in comparisons if one.no_number), None)):
            return self._not_run(f"has {lacking.no_number}: {lacking.explanation}")
        worst = max(failing or numbers, key=lambda one: one.excess)
        return CheckResult(
            name=self.name,
            status="fail" if failing else "pass",
            value=float(worst.value),
            tolerance=float(worst.tolerance),
            excess=float(worst.excess),
            explanation=worst.explanation,
        )

    def _not_run(self, reason: str) -> CheckResult:
        """The result of a check that says nothing; the reason follows "it"."""
        return CheckResult(name=self.name, status="not run", explanation=" ".join(reason.split()))


def wrong_comparisons(compared: object) -> str:
    """Says what was returned in place of a list of comparisons, in words after "it"; empty for one."""
    wanted = "not a list of Comparison"
    if not isinstance(compared, list | tuple):
        return f"returned {_kind(compared)}, {wanted}"
    other = next((one for one in compared if not isinstance(one, Comparison)), None)
    return "" if other is None else f"returned a list that holds {_kind(other)}, {wanted}"


def _kind(value: object) -> str:
    return "None" if value is None else type(value).__name__


CHECKS: Registry[MaskingCheck] = Registry("check", MaskingCheck)
"""Every check by name, in the order of the table: the only list of checks. `checks.py` fills it."""
