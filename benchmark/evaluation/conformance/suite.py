"""Runs the contract of a class, and lists the checks of defenses for pytest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydantic import ValidationError

from benchmark.core.errors import UsageError
from benchmark.core.parameters import Parameters, explain
from benchmark.data import Folders
from benchmark.evaluation.conformance.contract_check import ConformanceError, ContractCheck
from benchmark.evaluation.conformance.contracts import CONTRACTS
from benchmark.evaluation.conformance.defense_contract import DEFENSE
from defenses import DEFENSES, Defense


@dataclass(frozen=True)
class ContractResult:
    """The result of one check.

    Attributes:
        check: the check.
        failure: what is wrong and what to do, in one line; None when the check passed or was skipped.
        skipped: why the check was not made, as a clause; None when it was.
    """

    check: ContractCheck
    failure: str | None = None
    skipped: str | None = None


def _as_instance(given: type[Parameters] | Parameters, base: type[Parameters]) -> Parameters:
    if isinstance(given, base):
        return given
    if not (isinstance(given, type) and issubclass(given, base)):
        kind = base.__name__.lower()
        raise UsageError(f"{given!r} is not a {kind}: its class must derive from {base.__name__}.")
    try:
        return given()
    except ValidationError as error:
        raise UsageError(
            f"{given.__name__} has a parameter without a valid default: {explain(error)}"
        ) from None


def _as_defense(given: type[Defense] | Defense | str) -> Parameters:
    return DEFENSES.build(given) if isinstance(given, str) else _as_instance(given, Defense)


def run_contract(
    given: type[Parameters] | Parameters, folders: Folders | None = None
) -> Iterator[ContractResult]:
    """Runs the contract of a component, and yields the result of each check.

    A check that would fail for the same reason as one before it is skipped, as are those that do not apply.

    Args:
        given: a class whose parameters have defaults, or an instance, of any kind.
        folders: where data sets are; empty temporary folders when not given.

    Raises:
        UsageError: when the argument is neither, or its kind has no contract.
    """
    component = _as_instance(given, Parameters)
    contract = next((CONTRACTS[part] for part in type(component).__mro__ if part in CONTRACTS), None)
    if contract is None:
        raise UsageError(f"There are no checks for classes such as {type(component).__name__}.")
    passed: set[str] = set()
    for check in contract.checks.values():
        missed = next((name for name in check.after if name not in passed), None)
        if missed is not None:
            reason = check.exempt(component) or f"'{missed}' did not pass"
            yield ContractResult(check, skipped=reason)
            continue
        try:
            skipped = check(component, folders)
        except ConformanceError as error:
            yield ContractResult(check, failure=str(error))
            continue
        if not skipped:
            passed.add(check.name)
        yield ContractResult(check, skipped=skipped)


def check_contract(defense: type[Defense] | Defense | str) -> Iterator[ContractResult]:
    """Runs the contract of defenses, as `run_contract` does; a spec is accepted as well.

    Raises:
        UsageError: when the argument is not a defense, or no defense has that name.
    """
    return run_contract(_as_defense(defense))


def check_plugin_class(given: type[Parameters] | Parameters, folders: Folders | None = None) -> None:
    """Checks that a class keeps the contract of its kind: a defense, attack, objective, data set and more.

    Args:
        given: a class whose parameters have defaults, or an instance with the parameters to check.
        folders: where data sets are; empty temporary folders when not given.

    Raises:
        ConformanceError: when checks fail; the message has one line for each, with its name and what to do.
        UsageError: when the argument is of no kind that has a contract.
    """
    failures = [result.failure for result in run_contract(given, folders) if result.failure]
    if failures:
        raise ConformanceError(failures)


def check_defense(defense: type[Defense] | Defense | str) -> None:
    """Checks that a defense keeps the contract of `defenses.base`, on a tiny data set, in seconds.

    Args:
        defense: a class, an instance with the parameters to check, or a spec such as "eat[members=2]".

    Raises:
        ConformanceError: when checks fail; the message has one line for each, with its name and what to do.
        UsageError: when the argument is not a defense, or no defense has that name.
    """
    check_plugin_class(_as_defense(defense))


def defense_checks(
    defenses: Iterable[type[Defense] | Defense | str] | None = None,
) -> Iterator[tuple[Parameters, ContractCheck]]:
    """Yields pairs of a defense and a check that applies to it, for `pytest.mark.parametrize`.

    A test calls `check(defense)`, which raises ConformanceError when the defense fails.

    Args:
        defenses: classes, instances or specs; by default every registered defense.
    """
    for given in DEFENSES.names() if defenses is None else defenses:
        defense = _as_defense(given)
        for check in DEFENSE.checks.values():
            if check.exempt(defense) is None:
                yield defense, check
