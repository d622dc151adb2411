"""A check of one requirement on the classes of a kind."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmark.core.errors import BenchmarkError
from benchmark.core.own_line import explain, files_of
from benchmark.core.parameters import Parameters
from benchmark.data import Folders
from benchmark.evaluation.conformance.settings import unchanged_settings

SAME_ADVICE = "Draw from torch's own generator or by noise_per_image, never from the clock or the system."


class ConformanceError(BenchmarkError):
    """Raised for a class that breaks its contract.

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


class NotApplicableError(Exception):
    """Raised within a check that does not apply; the message says why, as a clause without a period."""


@dataclass(frozen=True)
class ContractCheck:
    """A check of one requirement on every class of a kind.

    Attributes:
        name: the name of the check.
        wanted: the requirement, a sentence.
        advice: what to do when a class fails, a sentence.
        examine: raises ContractError when the requirement is not met, NotApplicableError when there is
            nothing to check.
        make_fixture: returns what `examine` receives, from the component under test and the data folders.
        after: names of the checks that must have passed, because this one would fail for the same reason.
        exempt: returns why the check does not apply to a component, as a clause; None when it does.
    """

    name: str
    wanted: str
    advice: str
    examine: Callable[[Any], None]
    make_fixture: Callable[[Any, Folders], Any]
    after: tuple[str, ...] = ()
    exempt: Callable[[Any], str | None] = lambda component: None

    def __call__(self, component: Parameters, folders: Folders | None = None) -> str | None:
        """Runs the check, and restores the settings of the process afterwards.

        Args:
            component: the instance to check.
            folders: where data sets are; empty temporary folders when not given.

        Returns:
            Why the check does not apply, as a clause; None when the component passed.

        Raises:
            ConformanceError: when the component fails, with one line. Advice is given only for what the check
                looks for; an unexpected exception is named, with the line of the component's own file.
        """
        reason = self.exempt(component)
        if reason:
            return reason
        with unchanged_settings(), _existing(folders) as there:
            torch.set_num_threads(1)  # faster, with tensors as small as these
            try:
                self.examine(self.make_fixture(component, there))
                return None
            except NotApplicableError as skipped:
                return str(skipped)
            except ContractError as error:
                message = f"{error}. {self.advice}"
            except (Exception, SystemExit) as error:  # a plugin may do anything
                message = f"{explain_error(error, component)}."
        raise ConformanceError([f"{self.name}: {' '.join(message.split())}"])


@contextmanager
def _existing(folders: Folders | None) -> Iterator[Folders]:
    if folders is not None:
        yield folders
        return
    with tempfile.TemporaryDirectory() as empty:
        yield Folders(Path(empty) / "cache", Path(empty) / "data")


def explain_error(error: BaseException, component: Parameters) -> str:
    """Describes an unexpected error in one clause, with the last line in the component's own files."""
    return explain(error, files_of(type(component)))
