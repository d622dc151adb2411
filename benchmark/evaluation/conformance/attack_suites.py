"""The contract of suites of attacks: members that exist, each once."""

from __future__ import annotations

from typing import Any

from attacks import ATTACKS, SUITES, Suite
from benchmark.core.errors import UsageError
from benchmark.core.spec import parse_spec
from benchmark.evaluation.conformance.contract import Contract
from benchmark.evaluation.conformance.contract_check import ContractError

SUITE: Contract[Suite, Suite] = Contract(Suite, lambda suite, folders: suite)


@SUITE.check(
    "`attacks` is a tuple of specs of attacks.",
    'Write attacks = ("noise", "pgd_decay[objective=neighbour]"), with names that --list shows.',
)
def members(suite: Suite) -> None:
    """Checks that each member can be built."""
    given: Any = suite.attacks
    if not isinstance(given, tuple) or not all(isinstance(member, str) for member in given):
        raise ContractError(f"attacks is {given!r}")
    if not given:
        raise ContractError("attacks is empty")
    for member in given:
        _check_member(member)


def _check_member(text: str) -> None:
    try:
        if parse_spec(text).name in SUITES.names():
            raise ContractError(f"its member '{text}' is a suite")
        ATTACKS.build(text)
    except UsageError as error:
        raise ContractError(f"'{text}': {str(error).rstrip('.')}") from error


@SUITE.check("Each attack is named once.", "Leave the others out.", after=("members",))
def once(suite: Suite) -> None:
    """Checks for members that are the same attack, however they are written."""
    specs = [ATTACKS.build(member).spec for member in suite.attacks]
    if twice := [spec for spec in specs if specs.count(spec) > 1]:
        raise ContractError(f"'{twice[0]}' is there {specs.count(twice[0])} times")


@SUITE.check("`cascaded` is True or False.", "Set cascaded = True, or leave it out.")
def declarations(suite: Suite) -> None:
    """Checks the class's attributes."""
    if not isinstance(suite.cascaded, bool):
        raise ContractError(f"cascaded is {suite.cascaded!r}")
