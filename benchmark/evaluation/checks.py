"""Is the number true? Checks for figures that look like robustness and are something else.

Each looks for a sign that attacks failed for another reason than that there is nothing to find (Athalye et
al. 2018, arXiv 1802.00420; Carlini et al. 2019, arXiv 1902.06705). They are decided on what is monotone, the
mean of an objective and R@1 under `neighbour`, never on AMI. What was not run is never a pass.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

import numpy as np

from benchmark.evaluation.check_input import (
    FLOOR,
    SAME,
    SHARE,
    CheckInput,
    ScoredAttack,
    paired,
    redrawn,
    strongest,
    tolerance,
)
from benchmark.evaluation.masking_check import CHECKS, Comparison, MaskingCheck
from benchmark.records import CheckResult

NEIGHBOUR = "neighbour"
"""R@1's own margin: what raises it lowers R@1."""


def run_checks(measured: CheckInput) -> list[CheckResult]:
    """The verdict of every check, in the protocol's order."""
    return [CHECKS.build(name).run(measured) for name in CHECKS.names()]


def _r1(scored: ScoredAttack) -> str:
    return f"{scored.attack} leaves R@1 {100 * scored.r1:.1f}"


def _neighbours(attacks: list[ScoredAttack]) -> list[ScoredAttack]:
    return [scored for scored in attacks if scored.objective == NEIGHBOUR]


@CHECKS.register("randomised")
class Randomised(MaskingCheck):
    """Two passes over one batch differ, and gradients were not averaged over passes (EOT).

    Attributes:
        limit: the largest difference of an embedding's entry that rounding may make.
    """

    needs = "two clean passes over one batch"

    limit: float = 1e-4

    def compare(self, measured: CheckInput) -> list[Comparison]:
        """The largest difference of two passes, which does no harm where gradients were averaged."""
        difference, passes = measured.model.get("repeat_difference"), measured.model.get("eot")
        if difference is None or passes is None:
            return []
        words = f"two passes differ by up to {difference:.2g}, gradients are means over {passes:.0f}"
        if passes > 1:
            return [Comparison(difference, self.limit, 0.0, words)]
        return [Comparison.above(difference, self.limit, words)]


@CHECKS.register("zero_gradient")
class ZeroGradient(MaskingCheck):
    """More than 1 % of the images give `neighbour` a gradient of exactly zero.

    Attributes:
        limit: share of images that may have none.
    """

    needs = "a white-box attack on `neighbour`"

    limit: float = 0.01

    def compare(self, measured: CheckInput) -> list[Comparison]:
        """The share of images of each white-box attack; a transferred one's gradient is another model's."""
        return [
            Comparison.above(share, self.limit, f"{scored.attack} finds no gradient on {100 * share:.1f} %")
            for scored in _neighbours(measured.at_eps("white"))
            if (share := scored.diagnostics.get("zero_gradient")) is not None
        ]


@CHECKS.register("one_step_beats_many")
class OneStepBeatsMany(MaskingCheck):
    """One step reaches a higher objective, or a lower R@1, than the best of many steps on the same one."""

    needs = "one step and many steps on the same objective"

    def compare(self, measured: CheckInput) -> list[Comparison]:
        """For each objective, by its mean, and for `neighbour` also by R@1."""
        found: list[Comparison] = []
        white = measured.at_eps("white")
        for one in (scored for scored in white if scored.steps == 1):
            many = [a for a in white if a.objective == one.objective and (a.steps or 0) > 1]
            found += self._by_objective(one, many)
            best = strongest(many)
            if best is not None and one.objective == NEIGHBOUR:
                found.append(Comparison.above(*paired(best.success, one.success), f"{_r1(one)}, {_r1(best)}"))
        return found

    @staticmethod
    def _by_objective(one: ScoredAttack, many: list[ScoredAttack]) -> list[Comparison]:
        valued = [(float(a.values.mean()), a.attack, a.values) for a in many if a.values is not None]
        if one.values is None or not valued:
            return []
        mean, name, values = max(valued, key=lambda item: item[0])
        words = f"{one.attack} reaches {one.values.mean():.3f}, {name} {mean:.3f}"
        floor = SHARE * float(np.std(values.astype(np.float64)))
        return [Comparison.above(*paired(one.values, values, floor), words)]


def _weaker_than(access: str, measured: CheckInput) -> list[Comparison]:
    white, other = strongest(measured.at_eps("white")), strongest(measured.at_eps(access))
    if white is None or other is None:
        return []
    return [Comparison.above(*paired(white.success, other.success), f"{_r1(other)}, {_r1(white)}")]


@CHECKS.register("black_box_beats_white_box")
class BlackBoxBeatsWhiteBox(MaskingCheck):
    """The best black-box attack alone leaves a lower R@1 than the best white-box attack alone."""

    needs = "a black-box and a white-box attack"

    def compare(self, measured: CheckInput) -> list[Comparison]:
        """How much lower the one's R@1 is than the other's."""
        return _weaker_than("black", measured)


@CHECKS.register("transfer_beats_white_box")
class TransferBeatsWhiteBox(MaskingCheck):
    """Examples made on another model leave a lower R@1 than the best white-box attack alone."""

    needs = "a transferred and a white-box attack"

    def compare(self, measured: CheckInput) -> list[Comparison]:
        """How much lower the one's R@1 is than the other's."""
        if measured.is_source and measured.at_eps("white"):
            return [Comparison.above(0.0, FLOOR, "it is the model that transferred attacks are made on")]
        return _weaker_than("transfer", measured)


@CHECKS.register("suite_too_weak")
class SuiteTooWeak(MaskingCheck):
    """One attack that is there for the checks alone leaves a lower R@1 than the whole suite does."""

    needs = "the suite, and attacks beside it"

    def compare(self, measured: CheckInput) -> list[Comparison]:
        """How much lower the one's R@1 is than the row's worst case."""
        suite = measured.worst_of_suite()
        beside = [a for a in measured.attacks if not a.in_suite and abs(a.eps - measured.eps) < SAME]
        best = strongest(beside)
        if suite is None or best is None:
            return []
        words = f"{_r1(best)}, the suite {100 * suite.mean():.1f}"
        return [Comparison.above(*paired(suite, best.success), words)]


@CHECKS.register("unbounded")
class Unbounded(MaskingCheck):
    """White-box attacks that may change an image into any other leave an R@1 above 0."""

    needs = "a white-box attack over the whole range of pixels"

    def compare(self, measured: CheckInput) -> list[Comparison]:
        """The lowest R@1 of those attacks, of those that start at the clean images where there are any."""
        best = strongest(measured.over_all())
        if best is None:
            return []
        return [Comparison.above(best.r1, tolerance(best.success), f"{_r1(best)} at eps {best.eps:.4g}")]


@CHECKS.register("not_monotone")
class NotMonotone(MaskingCheck):
    """A larger eps leaves a higher R@1 under the same attack of many steps on `neighbour`."""

    needs = "a white-box attack of many steps on `neighbour` at two budgets"

    def compare(self, measured: CheckInput) -> list[Comparison]:
        """The rise of R@1 between neighbouring budgets; a single step may overshoot: it does not count."""
        by_attack: dict[str, list[ScoredAttack]] = defaultdict(list)
        for scored in _neighbours(list(measured.attacks)):
            if scored.access == "white" and (scored.steps or 0) > 1:
                by_attack[scored.attack].append(scored)
        return [
            Comparison.above(
                *paired(larger.success, smaller.success),
                f"{_r1(smaller)} at eps {smaller.eps:.4g}, {100 * larger.r1:.1f} at {larger.eps:.4g}",
            )
            for attacks in by_attack.values()
            for smaller, larger in pairwise(sorted(attacks, key=lambda scored: scored.eps))
            if larger.eps - smaller.eps >= SAME
        ]


@CHECKS.register("not_converged")
class NotConverged(MaskingCheck):
    """Twice the steps on `neighbour` leave a lower R@1."""

    needs = "a white-box attack on `neighbour`, and the same with twice the steps"

    def compare(self, measured: CheckInput) -> list[Comparison]:
        """How much lower twice the steps take R@1."""
        attacks = _neighbours(measured.at_eps("white"))
        by_name = {scored.attack: scored for scored in attacks}
        pairs = [(single, by_name[single.twice]) for single in attacks if single.twice in by_name]
        return [
            Comparison.above(*paired(single.success, double.success), f"{_r1(single)}, {_r1(double)}")
            for single, double in pairs
        ]


@CHECKS.register("collapsed")
class Collapsed(MaskingCheck):
    """Without any attack, R@1 is no better than that of a random embedding."""

    needs = "the clean pass and the level of chance"

    def compare(self, measured: CheckInput) -> list[Comparison]:
        """How far clean R@1 is above chance."""
        clean, chance = measured.clean, measured.model.get("chance")
        if clean is None or chance is None:
            return []
        words = f"clean R@1 {100 * clean.r1:.1f}, of a random embedding {100 * chance:.1f}"
        return [Comparison.below(clean.r1 - chance, tolerance(clean.success), words)]


@CHECKS.register("rescored")
class Rescored(MaskingCheck):
    """Attacked images embedded once more, as attacks see the model, do not give the recorded R@1."""

    needs = "attacked images that were embedded once more"

    def compare(self, measured: CheckInput) -> list[Comparison]:
        """The difference for each attack, beyond what chance makes of as many pairs of passes."""
        return [
            Comparison.above(
                abs(again - scored.r1),
                redrawn(*(scored.diagnostics.get(f"rescored_{name}", 0.0) for name in ("error", "passes"))),
                f"{_r1(scored)} at eps {scored.eps:.4g}, scored again {100 * again:.1f}",
            )
            for scored in measured.attacks
            if (again := scored.diagnostics.get("rescored_r1")) is not None
        ]
