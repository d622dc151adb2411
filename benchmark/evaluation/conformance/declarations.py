"""Checks of what a defense says about itself."""

from __future__ import annotations

from pydantic import ValidationError

from attacks import ATTACKS
from benchmark.core.errors import UsageError
from benchmark.core.parameters import explain
from benchmark.core.spec import parse_spec
from benchmark.evaluation.conformance.contract_check import ContractError, check
from benchmark.evaluation.conformance.fixture import ConformanceFixture
from defenses import Range


@check(
    "The defense can be built again from its spec.",
    "Annotate parameters with types that can be written as text: numbers, words, true or false.",
)
def spec(fixture: ConformanceFixture) -> None:
    """A spec string is all that travels to a worker."""
    defense = fixture.defense
    if not defense.name:  # a class that is not registered has no spec yet
        return
    if type(defense).from_spec(parse_spec(defense.spec)) != defense:
        raise ContractError(f"'{defense.spec}' gives another defense")


@check(
    "What `tunable` names are parameters, and its values fit them.",
    "Write tunable = {'weight': Range(0.1, 10, log=True)} with the names and the bounds of annotated fields.",
)
def tunable(fixture: ConformanceFixture) -> None:
    """Tuning draws values from there."""
    cls = type(fixture.defense)
    for key, values in cls.tunable.items():
        if key not in cls.model_fields:
            raise ContractError(f"tunable names '{key}', which is not a parameter")
        for value in (values.low, values.high) if isinstance(values, Range) else values:
            try:
                cls(**{key: value})
            except ValidationError as error:  # noqa: PERF203
                raise ContractError(f"tunable: {explain(error).rstrip('.')}") from None


@check(
    "What `adaptive` names are attacks.",
    "Write specs as on the command line: adaptive = ('pgd[objective=own,steps=100]',). An objective of your "
    "own is registered in the same file.",
)
def adaptive(fixture: ConformanceFixture) -> None:
    """They join the suite of the defense's rows."""
    for text in fixture.defense.adaptive:
        try:
            ATTACKS.build(text)
        except UsageError as error:  # noqa: PERF203
            raise ContractError(f"adaptive: {str(error).rstrip('.')}") from None
