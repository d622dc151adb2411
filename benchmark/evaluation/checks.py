"""Checks for gradient masking: signs that a high score under attack is not robustness.

Each check looks for a sign that attacks failed although adversarial images exist (Athalye et al. 2018,
arXiv 1802.00420; Carlini et al. 2019, arXiv 1902.06705). The checks compare only monotone quantities, the
mean of an objective and R@1 under `neighbour`, never AMI. The status of a check without its measurements is
"not run", never "pass".
"""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

import numpy as np

from benchmark.evaluation.check_input import (
    OBJECTIVE_TOLERANCE,
    R1_TOLERANCE,
    SAME,
    CheckInput,
    ScoredAttack,
    paired_difference,
    strongest,
    tolerance,
)
from benchmark.evaluation.masking_check import CHECKS, Comparison, MaskingCheck
from benchmark.records import CheckResult

NEIGHBOUR = "neighbour"
"""Spec of the objective that is R@1's own margin: what raises it lowers R@1."""


def run_checks(measured: CheckInput, kept: dict[str, CheckResult] | None = None) -> list[CheckResult]:
    """Runs every registered check, in the order of registration.

    Args:
        measured: the measurements.
        kept: results at other budgets of the same attacks; those that are the same at every budget are taken
            from there, or put there.
    """
    results = []
    for name in CHECKS.names():
        check = CHECKS.build(name)
        result = None if kept is None or not check.at_every_budget else kept.get(name)
        result = check.run(measured) if result is None else result
        if kept is not None:
            kept[name] = result
        results.append(result)
    return results


def _r1(scored: ScoredAttack, success: np.ndarray | None = None) -> str:
    """R@1 under an attack, as it is compared with the success of others where that is given."""
    r1 = scored.r1 if success is None else float(scored.beside(success).mean(dtype=np.float64))
    return f"{100 * r1:.1f} under {scored.attack}"


def _with_neighbour(attacks: list[ScoredAttack]) -> list[ScoredAttack]:
    return [scored for scored in attacks if scored.objective == NEIGHBOUR]


@CHECKS.register("randomised")
class Randomised(MaskingCheck):
    """Two forward passes over one batch differ, and gradients are not means over EOT samples.

    Attributes:
        limit: the largest difference between entries of two embeddings that rounding may cause.
    """

    needs = "two clean forward passes over one batch"

    limit: float = 1e-4

    def compare(self, measured: CheckInput) -> list[Comparison]:
        """Compares the largest difference with the limit; never fails with two EOT samples or more."""
        difference, samples = measured.model.get("repeat_difference"), measured.model.get("eot")
        if difference is None or samples is None:
            return []
        explanation = f"two forward passes differ by up to {difference:.2g}, EOT samples: {samples:.0f}"
        if samples > 1:
            return [Comparison(difference, self.limit, 0.0, explanation)]
        return [Comparison.above(difference, self.limit, explanation)]


@CHECKS.register("zero_gradient")
class ZeroGradient(MaskingCheck):
    """The gradient of `neighbour` is zero, or as good as that, at more than 1 % of the images.

    Attributes:
        limit: the fraction of images that may have a zero gradient.
    """

    needs = "a white-box attack on `neighbour`"

    limit: float = 0.01

    def compare(self, measured: CheckInput) -> list[Comparison]:
        """Compares each white-box attack; a transfer attack's gradient is another model's."""
        return [
            Comparison.above(zero, self.limit, f"zero gradient at {100 * zero:.1f} % under {scored.attack}")
            for scored in _with_neighbour(measured.at_eps("white"))
            if (zero := scored.diagnostics.get("zero_gradient")) is not None
        ]


@CHECKS.register("one_step_beats_many")
class OneStepBeatsMany(MaskingCheck):
    """One step reaches a higher objective, or a lower R@1, than many steps on the same objective."""

    needs = "one step and many steps on the same objective"

    def compare(self, measured: CheckInput) -> list[Comparison]:
        """Compares the mean of each objective, and R@1 for `neighbour`; many steps on the whole pool only."""
        found: list[Comparison] = []
        white = measured.at_eps("white")
        for one in (scored for scored in white if scored.steps == 1):
            many = [a for a in white if a.objective == one.objective and (a.steps or 0) > 1 and a.is_whole]
            found += self._by_objective(one, many)
            best = strongest(many)
            if best is not None and one.objective == NEIGHBOUR:
                gain = one.gain_over(best.success)
                found.append(Comparison.above(*gain, f"R@1 {_r1(one, best.success)}, {_r1(best)}"))
        return found

    @staticmethod
    def _by_objective(one: ScoredAttack, many: list[ScoredAttack]) -> list[Comparison]:
        valued = [
            (float(a.objective_values.mean()), a.attack, a.objective_values)
            for a in many
            if a.objective_values is not None
        ]
        if one.objective_values is None or not valued:
            return []
        mean, name, values = max(valued, key=lambda item: item[0])
        explanation = (
            f"objective {one.objective_values.mean():.3f} under {one.attack}, {mean:.3f} under {name}"
        )
        smallest = OBJECTIVE_TOLERANCE * float(np.std(values.astype(np.float64)))
        return [Comparison.above(*paired_difference(one.objective_values, values, smallest), explanation)]


def _weaker_than(access: str, measured: CheckInput) -> list[Comparison]:
    """Compares R@1 of the best white-box attack with that of attacks of another access.

    Of attacks on the whole pool the best is compared. One that follows white-box attacks is compared with all
    of these together: it fails the check when it defeats too many of the queries that they left standing.
    """
    white = strongest([scored for scored in measured.at_eps("white") if scored.is_whole])
    others = measured.at_eps(access)
    if white is None:
        return []
    best = strongest([other for other in others if other.is_whole])
    found = []
    if best is not None:
        found.append(Comparison.above(*best.gain_over(white.success), f"R@1 {_r1(best)}, {_r1(white)}"))
    for other in others:
        if other.before is not None:
            before = f"{100 * other.before.mean():.1f} before it under the white box"
            explanation = f"R@1 {_r1(other, other.before)}, {before}"
            found.append(Comparison.above(*other.gain_over(other.before), explanation))
    return found


@CHECKS.register("black_box_beats_white_box")
class BlackBoxBeatsWhiteBox(MaskingCheck):
    """A black-box attack gives a lower R@1 than white-box attacks do."""

    needs = "a black-box and a white-box attack"

    def compare(self, measured: CheckInput) -> list[Comparison]:
        """Compares the best attack of either access, or one with the white-box attacks that it follows."""
        return _weaker_than("black", measured)


@CHECKS.register("transfer_beats_white_box")
class TransferBeatsWhiteBox(MaskingCheck):
    """Images attacked on another model give a lower R@1 than white-box attacks do."""

    needs = "a transfer and a white-box attack"

    def compare(self, measured: CheckInput) -> list[Comparison]:
        """Compares as for black-box attacks; a source model on which no other's images are tried passes."""
        compared = _weaker_than("transfer", measured)
        if not compared and measured.is_source and measured.at_eps("white"):
            return [Comparison.above(0.0, R1_TOLERANCE, "this is the source model of the transfer attacks")]
        return compared


@CHECKS.register("suite_too_weak")
class SuiteTooWeak(MaskingCheck):
    """An attack outside the suite gives a lower R@1 than the worst case over the suite."""

    needs = "the suite and an attack outside it"

    def compare(self, measured: CheckInput) -> list[Comparison]:
        """Compares the best attack outside the suite with the row's worst case."""
        suite = measured.worst_of_suite()
        outside = [a for a in measured.attacks if not a.in_suite and abs(a.eps - measured.eps) < SAME]
        best = strongest(outside)
        if suite is None or best is None:
            return []
        explanation = f"R@1 {_r1(best, suite)}, {100 * suite.mean():.1f} under the suite"
        return [Comparison.above(*best.gain_over(suite), explanation)]


@CHECKS.register("unbounded")
class Unbounded(MaskingCheck):
    """R@1 stays above 0 under white-box attacks that may change an image into any other."""

    needs = "a white-box attack over the whole range of pixels"

    def compare(self, measured: CheckInput) -> list[Comparison]:
        """Compares the lowest R@1 with 0."""
        best = strongest(measured.at_whole_range())
        if best is None:
            return []
        return [Comparison.above(best.r1, tolerance(best.success), f"R@1 {_r1(best)} at eps {best.eps:.4g}")]


@CHECKS.register("not_monotone")
class NotMonotone(MaskingCheck):
    """A larger eps gives a higher R@1 under the same attack of many steps on `neighbour`."""

    needs = "a white-box attack of many steps on `neighbour` at two budgets"
    at_every_budget = True

    def compare(self, measured: CheckInput) -> list[Comparison]:
        """Compares R@1 at neighboring budgets; single steps are left out, because they may overshoot."""
        by_attack: dict[str, list[ScoredAttack]] = defaultdict(list)
        for scored in _with_neighbour(list(measured.attacks)):
            if scored.access == "white" and (scored.steps or 0) > 1:
                by_attack[scored.attack].append(scored)
        return [
            Comparison.above(
                *paired_difference(larger.success, smaller.success),
                f"R@1 {_r1(smaller)} at eps {smaller.eps:.4g}, {100 * larger.r1:.1f} at {larger.eps:.4g}",
            )
            for attacks in by_attack.values()
            for smaller, larger in pairwise(sorted(attacks, key=lambda scored: scored.eps))
            if larger.eps - smaller.eps >= SAME
        ]


@CHECKS.register("not_converged")
class NotConverged(MaskingCheck):
    """Twice the steps on `neighbour` give a lower R@1."""

    needs = "a white-box attack on `neighbour`, and the same with twice the steps"

    def compare(self, measured: CheckInput) -> list[Comparison]:
        """Compares R@1 of each such pair of attacks."""
        attacks = _with_neighbour(measured.at_eps("white"))
        by_name = {scored.attack: scored for scored in attacks}
        pairs = [(one, by_name[one.doubled_steps]) for one in attacks if one.doubled_steps in by_name]
        return [
            Comparison.above(
                *double.gain_over(single.success), f"R@1 {_r1(single)}, {_r1(double, single.success)}"
            )
            for single, double in pairs
        ]


@CHECKS.register("collapsed")
class Collapsed(MaskingCheck):
    """R@1 on clean images is not clearly higher than that of a random embedding."""

    needs = "the clean scores and the R@1 of a random embedding"

    def compare(self, measured: CheckInput) -> list[Comparison]:
        """Compares clean R@1 with chance."""
        clean, chance = measured.clean, measured.model.get("chance")
        if clean is None or chance is None:
            return []
        noise = tolerance(clean.success)
        explanation = (
            f"clean R@1 {100 * clean.r1:.1f}, {100 * chance:.1f} for a random embedding, with a tolerance of "
            f"{100 * noise:.1f}"
        )
        return [Comparison.below(clean.r1 - chance, noise, explanation)]


from benchmark.evaluation import rescored as rescored  # noqa: E402 (registered after all others)
from benchmark.evaluation import shifted as shifted  # noqa: E402
