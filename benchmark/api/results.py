"""The results of a run: its tables, rows and figures, read from its records."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypedDict

import pandas as pd

from benchmark.api.choose import Value, choose
from benchmark.api.row import RowScores, make_row
from benchmark.core.errors import UsageError, unknown_name
from benchmark.core.files import expand_home
from benchmark.core.parameters import parse_fraction
from benchmark.records import RunManifest, Store
from benchmark.report import read_tables
from benchmark.report.csv_files import cells_frame, leaderboard_frame
from benchmark.report.display_names import DisplayNames
from benchmark.report.figure_kinds import FIGURES
from benchmark.report.latex import latex
from benchmark.report.tables import Table
from benchmark.report.verdict import verdict_lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from typing_extensions import Unpack


class Setting(TypedDict, total=False):
    """The setting and the budget of a table, as tables show them.

    Attributes:
        dataset, backbone, loss: what its models are trained with.
        norm: "linf", "l2" or "l0".
        eps: radius of the ball, in units of pixels in [0, 1]; also as "8/255".
        compute: the compute mode.
    """

    dataset: str
    backbone: str
    loss: str
    norm: str
    eps: float | str
    compute: str


SETTING = tuple(Setting.__annotations__)
"""The names that choose a table."""


class Results:
    """The results in an output folder, read once.

    Methods that are about one table take the keys of `Setting` as arguments to choose it; those that all
    tables share can be left out.

    Args:
        output: the folder that a run wrote to (`--output`, by default `results`).

    Attributes:
        output: the folder.
        store: the records in it.
        tables: the tables with their ranked rows, one for each setting and budget.

    Raises:
        UsageError: when the folder holds no run.
    """

    def __init__(self, output: Path | str) -> None:
        self.output = expand_home(Path(output)).resolve()
        self.store = Store(self.output)
        self._run, self.tables = read_tables(self.output)
        self._folder: TemporaryDirectory[str] | None = None

    @classmethod
    def in_temporary(cls, folder: TemporaryDirectory[str]) -> Results:
        """Reads the results in a temporary folder, which is removed together with them."""
        results = cls(folder.name)
        results._folder = folder
        return results

    @property
    def manifest(self) -> RunManifest:
        """The grid of the run: its configuration, models and cells."""
        return self._run.manifest

    @property
    def names(self) -> DisplayNames:
        """What tables show in place of specs."""
        return self._run.names

    @cached_property
    def leaderboard(self) -> pd.DataFrame:
        """One row for each defense or model of each table: the columns of `leaderboard.csv`, as fractions."""
        return leaderboard_frame(self._run, self.tables)

    @cached_property
    def cells(self) -> pd.DataFrame:
        """One row for each metric of each cell: the columns of `cells.csv`, as fractions.

        A cell without a metric has one row, whose `status` and `reason` say why.
        """
        return cells_frame(self._run)

    def rows(self) -> Iterator[RowScores]:
        """Yields every row of every table, in the order of the leaderboard."""
        for table in self.tables:
            for row in table.rows:
                yield make_row(table, row)

    def row(self, name: str, **setting: Unpack[Setting]) -> RowScores:
        """Returns one row.

        Args:
            name: the defense or model, as tables show it, or its spec.
            setting: the table, where the row is in several.

        Raises:
            UsageError: for a name or a value that there is not, and where several rows fit; each lists those
                that there are.
        """
        rows = [row for row in self.rows() if name in (row.name, row.spec)]
        if not rows:
            raise unknown_name("row", name, {row.name for row in self.rows()})
        return choose("row", rows, _asked(setting), lambda row: {key: getattr(row, key) for key in SETTING})

    def table(self, **setting: Unpack[Setting]) -> Table:
        """Returns one table.

        Args:
            setting: which one, where there are several.

        Raises:
            UsageError: for a value that there is not, and where several tables fit; each lists those that
                there are.
        """
        return choose("table", self.tables, _asked(setting), _words)

    def to_latex(self, **setting: Unpack[Setting]) -> str:
        """Writes one table as LaTeX, scores in percent; it needs the package `booktabs`.

        Args:
            setting: which one, where there are several.

        Raises:
            UsageError: as `table` does.
        """
        return latex(self._run, self.table(**setting))

    def plot(self, kind: str, row: str | None = None, **setting: Unpack[Setting]) -> Figure:
        """Draws a figure of one table, in the report's style, and writes no file.

        Args:
            kind: "clean_vs_worst", "cost" (robustness against training cost), "heatmap", "eps" (over the
                budget), "seen" (what a person sees), "training" or "tsne".
            row: the defense or model to draw, for kinds that show one; the first that can be drawn when not
                given.
            setting: which table, where there are several.

        Raises:
            UsageError: for an unknown kind or row, where nothing can be drawn, and as `table` does.
        """
        if kind not in FIGURES:
            raise unknown_name("kind of figure", kind, FIGURES)
        table = self.table(**setting)
        rows = [one for one in table.rows if row in (one.name, one.defense)]
        if row is not None and not rows:
            raise unknown_name("row", row, [one.name for one in table.rows])
        figure = FIGURES[kind](self._run, table, rows[0] if rows else None)
        if figure is None:
            raise UsageError(f"There is nothing to draw for '{kind}': the run has no records for it.")
        return figure

    def verdict(self) -> str:
        """Says in words what an attacker does to each own model, and how far to believe it.

        Empty in a run without own models.
        """
        return "\n".join(verdict_lines(self._run, self.tables))

    @property
    def failures(self) -> list[str]:
        """The reasons of the cells that failed or were skipped, each once."""
        return list(dict.fromkeys(cell.reason for cell in self._run.cells if not cell.done))

    def __repr__(self) -> str:
        """The folder, and a line for each row."""
        where = repr(str(self.output)) if self._folder is None else "in a temporary folder"
        lines = [f"Results({where}): {self._counted()}"]
        lines += [
            f"  {f'{row.rank}.' if row.rank else '-':<3} {row.name}: clean {row.clean}; worst {row.worst}; "
            f"checks {row.checks_summary}"
            for row in self.rows()
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """The leaderboard's main columns, for notebooks."""
        kept = [
            "rank", "defense", "dataset", "norm", "eps", "clean_ami", "worst_ami", "clean_r1", "worst_r1",
            "checks",
        ]  # fmt: skip
        html = self.leaderboard[kept].to_html(index=False, float_format="{:.3f}".format, na_rep="", border=0)
        return f"<p>{self._counted()}</p>{html}"

    def _counted(self) -> str:
        cells = {cell.ref.id: cell.done for cell in self._run.cells}
        return f"{len(self.leaderboard)} rows, {sum(cells.values())} of {len(cells)} cells done"


def load_results(output: Path | str = "results") -> Results:
    """Loads the results of a run from its output folder; files beside the records are not read.

    Args:
        output: the folder that a run wrote to.

    Raises:
        UsageError: when the folder holds no run.
    """
    return Results(output)


def _asked(setting: Setting) -> dict[str, Value]:
    """Returns what was asked for, by the names of `Setting`; None for what was left open.

    Raises:
        UsageError: for another name, or an eps that is not a number.
    """
    for name in setting:
        if name not in SETTING:
            raise unknown_name("argument", name, SETTING)
    given: dict[str, Value] = {name: setting.get(name) for name in SETTING}  # type: ignore[misc]
    eps = parse_fraction(given["eps"])
    try:
        return {**given, "eps": None if eps is None else float(eps)}
    except (TypeError, ValueError):
        raise UsageError(f"eps must be a number, as 0.1 or '8/255', not {eps!r}.") from None


def _words(table: Table) -> dict[str, Value]:
    key = table.key
    return {
        "dataset": table.dataset,
        "backbone": table.backbone,
        "loss": table.loss,
        "norm": key.norm,
        "eps": key.eps,
        "compute": key.compute,
    }
