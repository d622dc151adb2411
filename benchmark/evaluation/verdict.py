"""What a check is, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from benchmark.core.parameters import Parameters
from benchmark.core.registry import Registry
from benchmark.evaluation.evidence import SAME, Evidence


@dataclass(frozen=True)
class Finding:
    """One comparison that a check makes.

    Attributes:
        figure: what decides.
        tolerance: what it is held against.
        excess: how far it is beyond; above 0, the check fails.
        words: the attacks and figures behind it.
    """

    figure: float
    tolerance: float
    excess: float
    words: str

    @classmethod
    def above(cls, figure: float, tolerance: float, words: str) -> Finding:
        """One that fails when the figure is larger than the tolerance."""
        return cls(figure, tolerance, figure - tolerance - SAME, words)

    @classmethod
    def below(cls, figure: float, tolerance: float, words: str) -> Finding:
        """One that fails unless the figure is larger than the tolerance."""
        return cls(figure, tolerance, tolerance - figure + SAME, words)


@dataclass(frozen=True)
class Verdict:
    """What a check says; the figures are those of its worst finding, None when it was not run.

    Attributes:
        words: the attacks and figures behind it; for a check that was not run, what was missing.
    """

    name: str
    status: Literal["pass", "fail", "not run"]
    figure: float | None = None
    tolerance: float | None = None
    excess: float | None = None
    words: str = ""


class Check(Parameters):
    """One check; subclasses implement `findings`.

    Attributes:
        needs: what it cannot do without, in words.
    """

    needs: ClassVar[str] = ""

    def findings(self, evidence: Evidence) -> list[Finding]:
        """Every comparison that the evidence allows; none when it is too little."""
        raise NotImplementedError

    def judge(self, evidence: Evidence) -> Verdict:
        """Fails when one finding does, passes when none does, and is not run when there is none."""
        worst = max(self.findings(evidence), key=lambda finding: finding.excess, default=None)
        if worst is None:
            return Verdict(self.name, "not run", words=f"needs {self.needs}")
        status: Literal["pass", "fail"] = "fail" if worst.excess > 0 else "pass"
        return Verdict(self.name, status, worst.figure, worst.tolerance, worst.excess, worst.words)


CHECKS: Registry[Check] = Registry("check", Check)
