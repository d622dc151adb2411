"""Checks of the declarations of a defense: its spec, `tunable` and `adaptive`."""

from __future__ import annotations

from pydantic import ValidationError

from attacks import ATTACKS
from benchmark.core.errors import UsageError
from benchmark.core.parameters import explain
from benchmark.evaluation.conformance.contract_check import ContractError
from benchmark.evaluation.conformance.defense_contract import check
from benchmark.evaluation.conformance.fixture import ConformanceFixture
from defenses import Range, wrong_strata


@check(
    "`tunable` names parameters, and its values are valid for them.",
    "Write tunable = {'weight': Range(0.1, 10, log=True)} with the names and the bounds of annotated fields.",
)
def tunable(fixture: ConformanceFixture) -> None:
    """Checks the names and the bounds of `tunable`, from which tuning draws values."""
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
    "`adaptive` names attacks.",
    "Write specs as on the command line: adaptive = ('pgd[objective=own,steps=100]',). Register an "
    "objective of your own in the same file.",
)
def adaptive(fixture: ConformanceFixture) -> None:
    """Checks that each spec of `adaptive`, which joins the suite of the defense's rows, builds an attack."""
    for text in fixture.defense.adaptive:
        try:
            ATTACKS.build(text)
        except UsageError as error:  # noqa: PERF203
            raise ContractError(f"adaptive: {str(error).rstrip('.')}") from None


@check(
    "`keep_from` is a fraction of the training, from 0 to below 1.",
    "Write keep_from = 0.25 to keep no epoch of the first quarter.",
)
def keep_from(fixture: ConformanceFixture) -> None:
    """Checks the fraction of the training before which no epoch is kept."""
    value = fixture.defense.keep_from
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ContractError(f"keep_from is {value!r}")


@check(
    "`strata` returns None, or a stratum for each training image, which no step changes.",
    "Return one int64 from 0 for each label that `build` was given, or None; keep the split as a buffer.",
    trains=True,
)
def strata(fixture: ConformanceFixture) -> None:
    """Checks the division of the training images, which is asked for once."""
    model = fixture.build()
    before = fixture.defense.strata(model)
    if before is not None:
        if reason := wrong_strata(before, len(fixture.labels)):
            raise ContractError(reason)
        before = before.clone()
    fixture.loss(model)
    after = fixture.defense.strata(model)
    if (before is None) != (after is None) or (before is not None and not before.equal(after)):  # type: ignore[arg-type]
        raise ContractError("strata are others after a step")
