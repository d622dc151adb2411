"""Defenses that break one requirement of the contract each, and how the check reports it."""

import pytest

from . import broken_models, broken_steps
from .sound import UNUSUAL, Sound, Wrapper

BROKEN_DEFENSES = [*broken_models.BROKEN, *broken_steps.BROKEN]

UNEXPECTED = (broken_steps.Raises, broken_models.CallsFor)
"""Those whose exception is one that the suite does not look for: it gives no advice."""

ALSO_FAIL = {broken_models.LostOnSaving: {"resumes"}, broken_steps.Forgetful: {"resumes"}}
"""Checks that fail as well as the one that a defense is made for."""


@pytest.fixture(
    params=BROKEN_DEFENSES, ids=[f"{check}-{i}" for i, (_, check, _) in enumerate(BROKEN_DEFENSES)]
)
def broken(request):
    """A broken defense, every check that it fails, the check it is made for, words of its report, advice."""
    defense, check, message = request.param
    advised = defense not in UNEXPECTED
    also = ALSO_FAIL.get(defense, set())
    return defense, {check} | also, check, message, advised


@pytest.fixture(params=UNUSUAL, ids=lambda cls: cls.__name__)
def unusual(request):
    """A defense that keeps the contract in an unusual way."""
    return request.param


@pytest.fixture(scope="session")
def checks_with_a_broken_defense():
    return {check for _, check, _ in BROKEN_DEFENSES}


@pytest.fixture(scope="session")
def sound_class():
    """A defense that fails no check."""
    return Sound


@pytest.fixture(scope="session")
def wrapper_class():
    return Wrapper
