"""A check of the contract of defenses, and the list of all checks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmark.core.errors import BenchmarkError
from benchmark.evaluation.conformance.fixture import COLOR, ConformanceFixture
from benchmark.evaluation.conformance.settings import unchanged_settings
from defenses import Defense


class ConformanceError(BenchmarkError):
    """Raised for a defense that breaks the contract.

    Args:
        failures: one line for each check that failed: its name, what is wrong, and what to do.
    """

    def __init__(self, failures: Iterable[str]) -> None:
        self.failures = tuple(failures)
        super().__init__("\n".join(self.failures))

    def __str__(self) -> str:
        """The failures, one line each."""
        return "\n".join(self.failures)


class ContractError(Exception):
    """Raised within a check; the message says what is wrong, as a clause without a period."""


@dataclass(frozen=True)
class ContractCheck:
    """A check of one requirement on every defense.

    Attributes:
        name: the name of the check.
        wanted: the requirement, a sentence.
        advice: what to do when a defense fails, a sentence.
        examine: raises ContractError when the requirement is not met.
        trains: whether the check calls the defense's `loss`; such checks are skipped for reference defenses,
            which are never trained.
    """

    name: str
    wanted: str
    advice: str
    examine: Callable[[ConformanceFixture], None]
    trains: bool

    def __call__(self, defense: Defense) -> None:
        """Runs the check, and restores the settings of the process afterwards.

        Raises:
            ConformanceError: when the defense fails, with one line.
        """
        with unchanged_settings():
            torch.set_num_threads(1)  # faster, with tensors as small as these
            try:
                self.examine(ConformanceFixture(defense))
                return
            except ContractError as error:
                message = str(error)
            except (Exception, SystemExit) as error:  # a plugin may do anything
                message = explain_error(error)
        raise ConformanceError([f"{self.name}: {' '.join(message.split())}. {self.advice}"])


def explain_error(error: BaseException) -> str:
    """Describes an unexpected error in one clause, with the file and line where it was raised."""
    location, trace = "", error.__traceback__
    while trace:
        file = Path(trace.tb_frame.f_code.co_filename)
        location = f" ({file.name}, line {trace.tb_lineno})"
        trace = trace.tb_next
    first = str(error).strip().split("\n", 1)[0].rstrip(".")
    return f"{type(error).__name__}{': ' if first else ''}{first}{location}"


@contextmanager
def color_images(fixture: ConformanceFixture) -> Iterator[ConformanceFixture]:
    """Gives the block a fixture with color images of another size, and turns its errors into ContractErrors.

    Raises:
        ContractError: for any error in the block, with the shape of the images.
    """
    try:
        yield ConformanceFixture(fixture.defense, COLOR)
    except Exception as error:  # a plugin may do anything
        raise ContractError(f"with images of shape {COLOR}, {explain_error(error)}") from error


CONTRACT: dict[str, ContractCheck] = {}
"""Every check by name, in the order in which they run."""


def check(
    wanted: str, advice: str, trains: bool = False
) -> Callable[[Callable[[ConformanceFixture], None]], Callable[[ConformanceFixture], None]]:
    """Returns a decorator that adds a function to the suite under its own name; see `ContractCheck`."""

    def decorate(examine: Callable[[ConformanceFixture], None]) -> Callable[[ConformanceFixture], None]:
        CONTRACT[examine.__name__] = ContractCheck(examine.__name__, wanted, advice, examine, trains)
        return examine

    return decorate
