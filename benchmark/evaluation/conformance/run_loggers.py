"""The contract of loggers: a log that opens in an empty folder, takes curves and values, and closes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.core.errors import UsageError
from benchmark.evaluation.conformance.contract import Contract
from benchmark.evaluation.conformance.contract_check import ContractError, NotApplicableError
from benchmark.loggers import LogWriter, RunLogger

METHODS = ("curve", "value", "close")

PAUSE = 1.1
"""Seconds between two runs, whose logs may have the second in their names."""

CONFIG = {"preset": "smoke", "seeds": [0, 1], "training": {"epochs": 2}, "device": None}
"""Kinds of values that the configuration of a run has."""


@dataclass(frozen=True)
class LoggerFixture:
    """A logger, with folders to log to.

    Attributes:
        logger: the logger under test.
    """

    logger: RunLogger

    @contextmanager
    def output(self) -> Iterator[Path]:
        """An empty output folder.

        Raises:
            NotApplicableError: when the package that the logger needs is not installed.
        """
        try:
            self.logger.check()
        except UsageError as error:
            raise NotApplicableError(str(error).rstrip(".")) from error
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)

    def write(self, output: Path) -> None:
        """Logs a training and a cell, as a run does."""
        writer: LogWriter = self.logger.open(output, CONFIG)
        writer.curve("digits/smallconv/proxy_anchor/vanilla/seed0/loss", {1: 0.5, 2: 0.25})
        writer.value("digits/smallconv/proxy_anchor/vanilla/seed0/clustering/noise/linf/0.1/ami", 0.75)
        writer.close()


LOGGER: Contract[RunLogger, LoggerFixture] = Contract(
    RunLogger, lambda logger, folders: LoggerFixture(logger)
)


@LOGGER.check(
    "open(output, config) returns a writer with the methods curve, value and close.",
    "Return an object such as benchmark.loggers.LogWriter describes.",
)
def opens(fixture: LoggerFixture) -> None:
    """Checks what `open` returns."""
    with fixture.output() as output:
        writer: Any = fixture.logger.open(output, CONFIG)
        if missing := [name for name in METHODS if not callable(getattr(writer, name, None))]:
            raise ContractError(
                f"open returns {type(writer).__name__}, which has no {' and no '.join(missing)}"
            )
        writer.close()


@LOGGER.check(
    "A run can be logged, and another into the same folder.",
    "Take what is there for the log of an earlier run, and add to it.",
    after=("opens",),
)
def again(fixture: LoggerFixture) -> None:
    """Checks a run and one that resumes it; any error costs the log."""
    with fixture.output() as output:
        fixture.write(output)
        time.sleep(PAUSE)
        before = _sizes(output)
        fixture.write(output)
        after = _sizes(output)
        if lost := sorted(name for name, size in before.items() if size and not after.get(name)):
            raise ContractError(f"a second run takes away what the first has written to {lost[0]}")


def _sizes(folder: Path) -> dict[str, int]:
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(folder)): path.stat().st_size for path in files}


@LOGGER.check_settings(after=("again",))
def use(fixture: LoggerFixture) -> Callable[[], object]:
    """Prepares the call that is checked."""

    def write() -> None:
        with fixture.output() as output:
            fixture.write(output)

    return write
