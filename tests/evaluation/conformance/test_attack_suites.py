"""Each check of the contract of suites fails for a suite that breaks it."""

from typing import ClassVar

import pytest

from attacks import SUITES, Suite
from benchmark.evaluation.conformance.attack_suites import SUITE

from .results import failures


class Sound(Suite):
    """A sound suite."""

    name = "sound"
    attacks: ClassVar = ("noise", "pgd[objective=neighbour]", "pgd[objective=pair]")
    cascaded: ClassVar = True


class OtherSpec(Sound):
    steps: int = 3

    @property
    def spec(self):
        return "sound[steps=2]"


class NoTuple(Sound):
    attacks: ClassVar = "noise"


class Empty(Sound):
    attacks: ClassVar = ()


class Misspelled(Sound):
    attacks: ClassVar = ("nose",)


class WrongParameter(Sound):
    attacks: ClassVar = ("pgd[step=-1]",)


class Nested(Sound):
    attacks: ClassVar = ("noise", "standard")


class Twice(Sound):
    attacks: ClassVar = ("pgd", "pgd[steps=20]")


class InWords(Sound):
    cascaded: ClassVar = "yes"


BROKEN = [
    (OtherSpec, "spec", "gives another sound"),
    (NoTuple, "members", "attacks is 'noise'"),
    (Empty, "members", "attacks is empty"),
    (Misspelled, "members", "'nose': "),
    (WrongParameter, "members", "'pgd[step=-1]': "),
    (Nested, "members", "its member 'standard' is a suite"),
    (Twice, "once", "is there 2 times"),
    (InWords, "declarations", "cascaded is 'yes'"),
]


@pytest.mark.parametrize(("suite", "check", "message"), BROKEN)
def test_a_broken_suite_fails_exactly_its_check(suite, check, message):
    found = failures(suite)
    assert set(found) == {check}, found
    assert message in found[check]


def test_every_check_of_suites_has_a_class_that_fails_it():
    assert {check for _, check, _ in BROKEN} == set(SUITE.checks)


@pytest.mark.parametrize("suite", [Sound, *map(SUITES.build, SUITES.names())])
def test_sound_suites_fail_no_check(suite):
    assert failures(suite) == {}
