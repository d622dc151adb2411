"""The contract of defenses, and the decorator that adds a check to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmark.evaluation.conformance.contract import Contract
from benchmark.evaluation.conformance.contract_check import ContractError, explain_error
from benchmark.evaluation.conformance.fixture import COLOR, ConformanceFixture
from defenses import Defense

DEFENSE: Contract[Defense, ConformanceFixture] = Contract(
    Defense, lambda defense, folders: ConformanceFixture(defense)
)

Examine = Callable[[ConformanceFixture], None]


def check(
    wanted: str, advice: str, trains: bool = False, after: tuple[str, ...] = ("builds",)
) -> Callable[[Examine], Examine]:
    """Returns a decorator that adds a function to the contract of defenses under its own name.

    Args:
        wanted: the requirement, a sentence.
        advice: what to do when a defense fails, a sentence.
        trains: whether the check calls `loss`, and so needs a defense that is trained, and whose first step
            has worked.
        after: names of the checks that must have passed.
    """
    if not trains:
        return DEFENSE.check(wanted, advice, after)
    return DEFENSE.check(wanted, advice, (*after, "trains"), exempt_from_training)


def exempt_from_training(defense: Defense) -> str | None:
    """Returns why no step of a defense is checked, or None when its steps are."""
    return None if defense.trained else "it is not trained"


@contextmanager
def color_images(fixture: ConformanceFixture) -> Iterator[ConformanceFixture]:
    """Gives the block a fixture with color images of another size, and turns its errors into ContractErrors.

    Raises:
        ContractError: for any error in the block, with the shape of the images.
    """
    try:
        yield ConformanceFixture(fixture.defense, COLOR)
    except Exception as error:  # a plugin may do anything
        found = explain_error(error, fixture.defense)
        raise ContractError(f"with images of shape {COLOR}, {found}") from error
