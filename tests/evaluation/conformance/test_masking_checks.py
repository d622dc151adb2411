"""Each check of the contract of checks for gradient masking fails for one that breaks it."""

import pytest

from benchmark.evaluation import CHECKS, Comparison, MaskingCheck
from benchmark.evaluation.conformance.masking_checks import MASKING_CHECK

from .results import failures


class Sound(MaskingCheck):
    """Fails when noise suffices."""

    needs = "noise"

    def compare(self, measured):
        """Compares."""
        return [Comparison.above(1 - scored.r1, 0.5, "noise") for scored in measured.at_eps("none")]


class OtherSpec(Sound):
    name = "sound"

    @property
    def spec(self):
        return "sound[limit=2]"


class WithoutNeeds(Sound):
    needs = ""


class Bare(Sound):
    def compare(self, measured):
        return Comparison.above(0.0, 0.5, "noise") if measured.attacks else []


class Nothing(Sound):
    def compare(self, measured):
        return [] if measured.attacks else None


class Eager(Sound):
    def compare(self, measured):
        return [Comparison.above(0.0, 0.5, "noise")]


class NoNumber(Sound):
    def compare(self, measured):
        return [Comparison.above(float("nan"), 0.5, "noise") for _ in measured.at_eps("none")]


class Words(Sound):
    def compare(self, measured):
        return [Comparison(0.0, 0.5, -0.5, 3) for _ in measured.at_eps("none")]


class Raises(Sound):
    def compare(self, measured):
        return [Comparison.above(measured.attacks[0].r1, 0.5, "noise")]


@pytest.mark.parametrize(
    ("cls", "check", "words"),
    [
        (OtherSpec, "spec", ""),
        (WithoutNeeds, "needs", "needs is ''"),
        (Bare, "compares", "compare returned Comparison, not a list of Comparison"),
        (Nothing, "nothing_measured", "compare returned None, not a list"),
        (Eager, "nothing_measured", "although nothing was measured"),
        (NoNumber, "compares", "a value that is not a number: noise"),
        (Words, "compares", "the explanation of a comparison is 3"),
        (Raises, "nothing_measured", "IndexError: tuple index out of range (test_masking_checks.py, line "),
    ],
)
def test_a_broken_check_fails_exactly_its_check(cls, check, words):
    found = failures(cls)
    assert set(found) == {check}
    assert words in found[check]


@pytest.mark.parametrize("name", CHECKS.names())
def test_every_check_of_the_benchmark_keeps_the_contract_and_compares(name):
    check = CHECKS.build(name)
    assert failures(check) == {}
    assert check.run(_filled()).status == "pass" or name in ("not_converged", "suite_too_weak")


def _filled():
    from benchmark.evaluation.conformance.masking_checks import FILLED

    return FILLED


def test_settings_are_checked_too():
    assert list(MASKING_CHECK.checks) == ["spec", "needs", "nothing_measured", "compares", "leaves_settings"]
