"""The suite as a whole: one call for a defense, and pairs for pytest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydantic import ValidationError

from benchmark.core.errors import UsageError
from benchmark.core.parameters import explain
from benchmark.evaluation.conformance.contract_check import CONTRACT, ConformanceError, ContractCheck
from defenses import DEFENSES, Defense


@dataclass(frozen=True)
class ContractResult:
    """How a check went.

    Attributes:
        check: the check.
        failure: what failed and what to do, in one line; None when it passed.
    """

    check: ContractCheck
    failure: str | None


def _as_defense(given: type[Defense] | Defense | str) -> Defense:
    if isinstance(given, str):
        return DEFENSES.build(given)
    if isinstance(given, Defense):
        return given
    if not (isinstance(given, type) and issubclass(given, Defense)):
        raise UsageError(f"{given!r} is not a defense: its class must derive from Defense.")
    try:
        return given()
    except ValidationError as error:
        raise UsageError(
            f"{given.__name__} has a parameter without a fitting default: {explain(error)}"
        ) from None


def _checks_for(defense: type[Defense] | Defense) -> list[ContractCheck]:
    return [check for check in CONTRACT.values() if not (check.trains and defense.reference)]


def check_contract(defense: type[Defense] | Defense | str) -> Iterator[ContractResult]:
    """Runs the suite, check by check.

    A model that cannot be built, or trained on for a step, ends the suite or its checks of training: they
    would all fail of the same.

    Raises:
        UsageError: when it is not a defense at all, or names none.
    """
    defense = _as_defense(defense)
    failed: set[str] = set()
    for check in _checks_for(defense):
        if "builds" in failed or ("trains" in failed and check.trains):
            continue
        try:
            check(defense)
        except ConformanceError as error:
            failed.add(check.name)
            yield ContractResult(check, str(error))
        else:
            yield ContractResult(check, None)


def check_defense(defense: type[Defense] | Defense | str) -> None:
    """Checks that a defense keeps the contract of `defenses.base`, on a tiny data set, in seconds.

    Args:
        defense: the class, or an instance with the parameters to be checked, or a spec such as
            "eat[members=2]".

    Raises:
        ConformanceError: when a check fails; its message has a line for each that did, which names it and
            says what to do.
        UsageError: when it is not a defense at all, or names none.
    """
    failures = [result.failure for result in check_contract(defense) if result.failure]
    if failures:
        raise ConformanceError(failures)


def defense_checks(
    defenses: Iterable[type[Defense] | Defense | str] | None = None,
) -> Iterator[tuple[Defense, ContractCheck]]:
    """Pairs of a defense and a check that applies to it, for `pytest.mark.parametrize`.

    A test calls `check(defense)`, which raises ConformanceError.

    Args:
        defenses: which; every registered one when not given.
    """
    for given in DEFENSES.names() if defenses is None else defenses:
        defense = _as_defense(given)
        for check in _checks_for(defense):
            yield defense, check
