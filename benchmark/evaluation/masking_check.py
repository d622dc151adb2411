"""What a check is, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from benchmark.core.parameters import Parameters
from benchmark.core.registry import Registry
from benchmark.evaluation.check_input import SAME, CheckInput
from benchmark.records import CheckResult, CheckStatus


@dataclass(frozen=True)
class Comparison:
    """One comparison that a check makes.

    Attributes:
        value: what decides.
        tolerance: what it is compared with.
        excess: how far it is beyond; above 0, the check fails.
        words: the attacks and values behind it.
    """

    value: float
    tolerance: float
    excess: float
    words: str

    @classmethod
    def above(cls, value: float, tolerance: float, words: str) -> Comparison:
        """One that fails when the value is larger than the tolerance."""
        return cls(value, tolerance, value - tolerance - SAME, words)

    @classmethod
    def below(cls, value: float, tolerance: float, words: str) -> Comparison:
        """One that fails unless the value is larger than the tolerance."""
        return cls(value, tolerance, tolerance - value + SAME, words)


class MaskingCheck(Parameters):
    """One check; subclasses implement `compare`.

    Attributes:
        needs: what it cannot do without, in words.
    """

    needs: ClassVar[str] = ""

    def compare(self, measured: CheckInput) -> list[Comparison]:
        """Every comparison that the measurements allow; none when they are too few."""
        raise NotImplementedError

    def run(self, measured: CheckInput) -> CheckResult:
        """Fails when one comparison does, passes when none does, and is not run when there is none."""
        worst = max(self.compare(measured), key=lambda comparison: comparison.excess, default=None)
        if worst is None:
            return CheckResult(name=self.name, status="not run", words=f"needs {self.needs}")
        status: CheckStatus = "fail" if worst.excess > 0 else "pass"
        return CheckResult(
            name=self.name,
            status=status,
            value=worst.value,
            tolerance=worst.tolerance,
            excess=worst.excess,
            words=worst.words,
        )


CHECKS: Registry[MaskingCheck] = Registry("check", MaskingCheck)
