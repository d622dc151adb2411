"""What a check is, and the list that checks join."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmark.core.errors import BenchmarkError
from benchmark.evaluation.conformance.fixture import ConformanceFixture
from benchmark.evaluation.conformance.settings import unchanged_settings
from defenses import Defense


class ConformanceError(BenchmarkError):
    """A defense does not keep the contract.

    Args:
        failures: one line for each check that failed: its name, what went wrong, and what to do.
    """

    def __init__(self, failures: Iterable[str]) -> None:
        self.failures = tuple(failures)
        super().__init__("\n".join(self.failures))

    def __str__(self) -> str:
        """The failures, a line each."""
        return "\n".join(self.failures)


class ContractError(Exception):
    """Raised within a check, with what went wrong as a clause without a full stop."""


@dataclass(frozen=True)
class ContractCheck:
    """One thing that every defense must do.

    Attributes:
        name: its name.
        wanted: what must hold, a sentence.
        advice: what to do when it does not, a sentence.
        examine: raises ContractError when it does not hold.
        trains: whether it calls the defense's `loss`; such checks are left out for reference rows, which
            are never trained.
    """

    name: str
    wanted: str
    advice: str
    examine: Callable[[ConformanceFixture], None]
    trains: bool

    def __call__(self, defense: Defense) -> None:
        """Runs the check, and leaves the process as it was.

        Raises:
            ConformanceError: with one line, when the defense fails.
        """
        with unchanged_settings():
            torch.set_num_threads(1)  # faster, with tensors as small as these
            try:
                self.examine(ConformanceFixture(defense))
                return
            except ContractError as fault:
                told = str(fault)
            except (Exception, SystemExit) as error:  # a plugin may do anything
                told = explain_error(error)
        raise ConformanceError([f"{self.name}: {' '.join(told.split())}. {self.advice}"])


def explain_error(error: BaseException) -> str:
    """An error that nobody raised for us, in one clause, with the place that it came from."""
    place, trace = "", error.__traceback__
    while trace:
        file = Path(trace.tb_frame.f_code.co_filename)
        place = f" ({file.name}, line {trace.tb_lineno})"
        trace = trace.tb_next
    first = str(error).strip().split("\n", 1)[0].rstrip(".")
    return f"{type(error).__name__}{': ' if first else ''}{first}{place}"


CONTRACT: dict[str, ContractCheck] = {}
"""Every check by its name, in the order in which they are run."""


def check(
    wanted: str, advice: str, trains: bool = False
) -> Callable[[Callable[[ConformanceFixture], None]], Callable[[ConformanceFixture], None]]:
    """Adds a function to the suite, under its own name; a decorator with the arguments of `ContractCheck`."""

    def decorate(examine: Callable[[ConformanceFixture], None]) -> Callable[[ConformanceFixture], None]:
        CONTRACT[examine.__name__] = ContractCheck(examine.__name__, wanted, advice, examine, trains)
        return examine

    return decorate
