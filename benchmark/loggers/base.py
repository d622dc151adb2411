"""The contract of a logger."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

from benchmark.core.errors import UsageError
from benchmark.core.parameters import Parameters
from benchmark.core.registry import Registry

DISTRIBUTION = "dml-robustness-benchmark"
"""The name under which this project is installed."""


class LogWriter(Protocol):
    """Writes what a run measures; any error that it raises costs the rest of this log, not the run."""

    def curve(self, tag: str, values: Mapping[int, float]) -> None:
        """Writes a curve: values by epoch, from 1."""

    def value(self, tag: str, value: float) -> None:
        """Writes a single value."""

    def close(self) -> None:
        """Writes what is left."""


class RunLogger(Parameters):
    """A kind of log.

    Attributes:
        package: the package that it needs, by the name that is imported.
    """

    package: ClassVar[str] = ""

    def check(self) -> None:
        """Checks that the package is there, without importing it.

        Raises:
            UsageError: when it is not installed.
        """
        try:
            spec = importlib.util.find_spec(self.package) if self.package else None
        except (ImportError, ValueError):
            spec = None
        # A folder of that name, as a logger may have left it in the working directory, has no origin.
        if self.package and (spec is None or spec.origin is None):
            raise UsageError(
                f"--log {self.name}: the package {self.package} is not installed. Install it: "
                f'python -m pip install "{DISTRIBUTION}[{self.name}]"'
            )

    def open(self, output: Path, config: Mapping[str, Any]) -> LogWriter:
        """Opens a log.

        Args:
            output: the folder that the run writes to.
            config: the configuration of the run.

        Raises:
            UsageError: when it cannot be opened.
        """
        raise NotImplementedError


LOGGERS: Registry[RunLogger] = Registry("logger", RunLogger)
