"""Checks that a model is the same for attacks as for scores: its gradients, and the outcomes of queries."""

from __future__ import annotations

from math import sqrt

from benchmark.evaluation.check_input import STANDARD_ERRORS, CheckInput, ScoredAttack
from benchmark.evaluation.masking_check import CHECKS, Comparison, MaskingCheck


@CHECKS.register("wrong_gradient")
class WrongGradient(MaskingCheck):
    """The gradient is not the slope of the embeddings, measured by finite differences.

    Attributes:
        correlation: the smallest correlation of the promised and the measured slopes that passes.
        ratio: the largest difference from 1 of the measured slope as a multiple of the promised one.
        correlation_of_stand_in: the smallest correlation where the gradient is a declared stand-in's (BPDA),
            whose ratio is not compared.
    """

    needs = "a white-box attack, and slopes (of 32 bits, with draws that repeat with torch's seed)"
    at_every_budget = True

    correlation: float = 0.95
    ratio: float = 0.1
    correlation_of_stand_in: float = 0.4

    def compare(self, measured: CheckInput) -> list[Comparison]:
        """Compares the correlation and the ratio; nothing where no attack takes a gradient."""
        model = measured.model
        correlation, ratio = model.get("slope_correlation"), model.get("slope_ratio")
        if correlation is None or ratio is None or not any(a.access == "white" for a in measured.attacks):
            return []
        found = f"promised and measured slopes have correlation {correlation:.3f} and ratio {ratio:.3f}"
        if model.get("stand_in"):
            explanation = f"{found}; the gradient is that of a stand-in that the model declares (BPDA)"
            return [Comparison.below(correlation, self.correlation_of_stand_in, explanation)]
        return [
            Comparison.below(correlation, self.correlation, found),
            Comparison.above(abs(ratio - 1), self.ratio, found),
        ]


@CHECKS.register("objective_disagrees")
class ObjectiveDisagrees(MaskingCheck):
    """Queries are scored as right that attacks saw defeated, or the other way round.

    Attributes:
        limit: the fraction of the compared queries that may differ.
        limit_of_randomised: the same of a randomised model, whose attacks and scores have other draws; three
            standard errors are added.
    """

    needs = (
        "an attack on `neighbour`, and of a randomised model ten repeats in which some outcomes are the same"
    )
    at_every_budget = True

    limit: float = 0.01
    limit_of_randomised: float = 0.05

    def compare(self, measured: CheckInput) -> list[Comparison]:
        """Compares each attack that has margins of queries."""
        randomised = bool(measured.model.get("randomised"))
        return [
            Comparison.above(value, self._tolerance(scored, randomised), _explanation(scored, value))
            for scored in measured.attacks
            if (value := scored.diagnostics.get("disagreement")) is not None
        ]

    def _tolerance(self, scored: ScoredAttack, randomised: bool) -> float:
        if not randomised:
            return self.limit
        limit, compared = self.limit_of_randomised, scored.diagnostics.get("compared_queries", 1.0)
        return limit + STANDARD_ERRORS * sqrt(limit * (1 - limit) / compared)


def _explanation(scored: ScoredAttack, value: float) -> str:
    compared = scored.diagnostics.get("compared_queries", 0.0)
    return (
        f"{100 * value:.2f} % of {compared:.0f} queries under {scored.attack} at eps {scored.eps:.4g} have "
        "another outcome than the attack saw"
    )
