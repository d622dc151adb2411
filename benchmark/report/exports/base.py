"""The contract of an export: what it writes beside the page, and what it needs for that."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from benchmark.core.errors import UsageError, unknown_name
from benchmark.core.spec import split_list
from benchmark.report.cell_results import Run
from benchmark.report.tables import Table

DISTRIBUTION = "dml-robustness-benchmark"
"""The name of the project's distribution, for the hint on its extras."""


class Export(ABC):
    """A format that the results of a run are written in; subclasses are registered in `EXPORTS`.

    Attributes:
        name: the name that `--export` takes, and that of the project's extra where `package` is set.
        package: the package that it needs, by the name that is imported; empty where it needs none.
    """

    name: ClassVar[str]
    package: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        EXPORTS[cls.name] = cls

    def check(self) -> None:
        """Checks that the package is there, without importing it.

        Raises:
            UsageError: when it is not installed.
        """
        if self.package and importlib.util.find_spec(self.package) is None:
            raise UsageError(
                f"--export {self.name}: the package {self.package} is not installed. Install it: "
                f'python -m pip install "{DISTRIBUTION}[{self.name}]"'
            )

    @abstractmethod
    def write(self, run: Run, tables: list[Table], output: Path) -> list[Path]:
        """Writes its files.

        Args:
            run: the run.
            tables: its tables, ranked.
            output: the folder of the report.

        Returns:
            The files written.
        """


EXPORTS: dict[str, type[Export]] = {}
"""The formats by name."""


def export_formats(names: Iterable[str]) -> list[Export]:
    """Makes the exports that were asked for, each once.

    Args:
        names: their names.

    Raises:
        UsageError: for an unknown name, and where a package is missing.
    """
    made = []
    for name in split_list(names):
        if name not in EXPORTS:
            raise unknown_name("format of --export", name, EXPORTS)
        made.append(EXPORTS[name]())
        made[-1].check()
    return made
