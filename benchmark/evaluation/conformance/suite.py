"""Runs the whole suite on a defense, and lists its checks for pytest."""

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
    """The result of one check.

    Attributes:
        check: the check.
        failure: what is wrong and what to do, in one line; None when the check passed.
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
            f"{given.__name__} has a parameter without a valid default: {explain(error)}"
        ) from None


def _checks_for(defense: type[Defense] | Defense) -> list[ContractCheck]:
    return [check for check in CONTRACT.values() if not (check.trains and defense.reference)]


def check_contract(defense: type[Defense] | Defense | str) -> Iterator[ContractResult]:
    """Runs the suite on a defense, and yields the result of each check.

    The suite ends when no model can be built. When the model cannot be trained for one step, the checks of
    training are skipped, because all of them would fail for the same reason.

    Raises:
        UsageError: when the argument is not a defense, or no defense has that name.
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
        defense: a class, an instance with the parameters to check, or a spec such as "eat[members=2]".

    Raises:
        ConformanceError: when checks fail; the message has one line for each, with its name and what to do.
        UsageError: when the argument is not a defense, or no defense has that name.
    """
    failures = [result.failure for result in check_contract(defense) if result.failure]
    if failures:
        raise ConformanceError(failures)


def defense_checks(
    defenses: Iterable[type[Defense] | Defense | str] | None = None,
) -> Iterator[tuple[Defense, ContractCheck]]:
    """Yields pairs of a defense and a check that applies to it, for `pytest.mark.parametrize`.

    A test calls `check(defense)`, which raises ConformanceError when the defense fails.

    Args:
        defenses: classes, instances or specs; by default every registered defense.
    """
    for given in DEFENSES.names() if defenses is None else defenses:
        defense = _as_defense(given)
        for check in _checks_for(defense):
            yield defense, check
