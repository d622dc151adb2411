"""The contract of checks for gradient masking: comparisons of what was measured, none where nothing was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmark.core.seeding import seed_everything
from benchmark.evaluation.check_input import CheckInput, ScoredAttack, ScoredClean
from benchmark.evaluation.conformance.contract import Contract
from benchmark.evaluation.conformance.contract_check import ContractError
from benchmark.evaluation.masking_check import Comparison, MaskingCheck, wrong_comparisons

QUERIES = 40
EPS = 0.1


def _success(right: int) -> np.ndarray:
    """Success of each query, the first `right` of them 1, shape (q,)."""
    return (np.arange(QUERIES) < right).astype(np.float32)


def _scored(
    attack: str, access: str, right: int, steps: int | None = None, eps: float = EPS, objective: str = ""
) -> ScoredAttack:
    success = _success(right)
    name = f"{attack}[objective={objective}]" if objective else attack
    return ScoredAttack(
        name,
        access,  # type: ignore[arg-type]
        eps,
        float(success.mean()),
        success,
        objective=objective,
        steps=steps,
        from_clean=steps == 1,
        objective_values=-success if objective else None,
        in_suite=steps == 20,
        diagnostics=_diagnostics(success) if objective else {},
    )


def _diagnostics(success: np.ndarray) -> dict[str, float]:
    """What is measured of an attack on `neighbour`."""
    same = {"zero_gradient": 0.0, "disagreement": 0.0, "compared_queries": float(len(success))}
    copies = {"shifted_drop": 0.0, "shifted_tolerance": 0.05}
    return {**same, **copies, "rescored_r1": float(success.mean())}


EMPTY = CheckInput(EPS)
"""A model of which nothing was measured."""

FILLED = CheckInput(
    EPS,
    whole_range=1.0,
    model={
        "repeat_difference": 0.0,
        "eot": 1.0,
        "chance": 0.1,
        "slope_correlation": 0.99,
        "slope_ratio": 1.0,
        "stand_in": 0.0,
    },
    clean=ScoredClean(0.9, _success(36)),
    attacks=(
        _scored("pgd_decay", "white", 10, 20, objective="neighbour"),
        _scored("pgd_decay", "white", 12, 20, objective="pool"),
        _scored("pgd_decay", "white", 4, 20, 0.2, "neighbour"),
        _scored("pgd_decay", "white", 0, 20, 1.0, "neighbour"),
        _scored("fgsm", "white", 20, 1, objective="neighbour"),
        _scored("square", "black", 24),
        _scored("transfer", "transfer", 22),
        _scored("noise", "none", 35),
    ),
)
"""A model with a measurement of every kind, attacked by each access."""


@dataclass(frozen=True)
class MaskingCheckFixture:
    """A check for gradient masking.

    Attributes:
        component: the check under test.
    """

    component: MaskingCheck

    def compare(self, measured: CheckInput) -> list[Comparison]:
        """Makes the comparisons.

        Raises:
            ContractError: when it returns anything but a list of them.
        """
        seed_everything("conformance-masking-check")
        found = self.component.compare(measured)
        if reason := wrong_comparisons(found):
            raise ContractError(f"compare {reason}")
        return found


MASKING_CHECK: Contract[MaskingCheck, MaskingCheckFixture] = Contract(
    MaskingCheck, lambda check, folders: MaskingCheckFixture(check)
)


@MASKING_CHECK.check(
    "`needs` names the measurements that it requires, in words that follow 'needs'.",
    'Write needs = "a black-box and a white-box attack" on the class.',
)
def needs(fixture: MaskingCheckFixture) -> None:
    """Checks the words that a reader sees where a measurement is missing."""
    words = fixture.component.needs
    if not isinstance(words, str) or not words.strip():
        raise ContractError(f"needs is {words!r}")


@MASKING_CHECK.check(
    "compare(measured) returns an empty list where nothing was measured.",
    "Return [] when a measurement is missing: the check is then 'not run', never 'pass'.",
)
def nothing_measured(fixture: MaskingCheckFixture) -> None:
    """Checks a model none of whose cells has finished."""
    if fixture.compare(EMPTY):
        raise ContractError("it compares although nothing was measured")


@MASKING_CHECK.check(
    "compare(measured) returns a list of comparisons of numbers, each with an explanation.",
    "Return a list of Comparison.above(value, tolerance, explanation) or .below(...), with numbers.",
)
def compares(fixture: MaskingCheckFixture) -> None:
    """Checks a model with a measurement of every kind."""
    for one in fixture.compare(FILLED):
        if one.no_number:
            raise ContractError(f"it compares {one.no_number}: {one.explanation}")
        if not isinstance(one.explanation, str) or not one.explanation.strip():
            raise ContractError(f"the explanation of a comparison is {one.explanation!r}")
    if (result := fixture.component.run(FILLED)).explanation.startswith("raised "):
        raise ContractError(f"it {result.explanation}")


@MASKING_CHECK.check_settings(after=("compares",))
def use(fixture: MaskingCheckFixture) -> Callable[[], object]:
    """Prepares the call that is checked."""
    return lambda: fixture.component.compare(FILLED)
