"""The base class of the checks for gradient masking, their comparisons and their registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from benchmark.core.parameters import Parameters
from benchmark.core.registry import Registry
from benchmark.evaluation.check_input import SAME, CheckInput
from benchmark.records import CheckResult, CheckStatus


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
    """

    needs: ClassVar[str] = ""

    def compare(self, measured: CheckInput) -> list[Comparison]:
        """Makes every comparison that the measurements allow; none when a measurement is missing."""
        raise NotImplementedError

    def run(self, measured: CheckInput) -> CheckResult:
        """Reports the comparison with the largest excess.

        Returns:
            Status "fail" when that comparison fails, "pass" when none does, "not run" when there is none.
        """
        worst = max(self.compare(measured), key=lambda comparison: comparison.excess, default=None)
        if worst is None:
            return CheckResult(name=self.name, status="not run", explanation=f"needs {self.needs}")
        status: CheckStatus = "fail" if worst.excess > 0 else "pass"
        return CheckResult(
            name=self.name,
            status=status,
            value=worst.value,
            tolerance=worst.tolerance,
            excess=worst.excess,
            explanation=worst.explanation,
        )


CHECKS: Registry[MaskingCheck] = Registry("check", MaskingCheck)
"""Every check by name, in the order of the table: the only list of checks. `checks.py` fills it."""
