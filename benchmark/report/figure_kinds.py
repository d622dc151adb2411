"""The kinds of figures that a table has, and the style that they share."""

from __future__ import annotations

from collections.abc import Iterable
from functools import wraps
from typing import TYPE_CHECKING, Protocol

from benchmark.report.cell_results import Run
from benchmark.report.fonts import in_style
from benchmark.report.rows import Row
from benchmark.report.style import LineStyle, line_styles
from benchmark.report.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Drawing(Protocol):
    """Draws one kind of figure of a table, and writes no file."""

    def __call__(self, run: Run, table: Table, row: Row | None = None) -> Figure | None:
        """Draws the figure.

        Args:
            run: the run, whose rows have the same color in every figure.
            table: the table, with its rows.
            row: what to draw, for kinds that show one row; the table's first that can be drawn if not given.

        Returns:
            None where there is nothing to draw.
        """


def _styled(drawing: Drawing) -> Drawing:
    @wraps(drawing)
    def styled(run: Run, table: Table, row: Row | None = None) -> Figure | None:
        with in_style():
            return drawing(run, table, row)

    return styled


@_styled
def _clean_vs_worst(run: Run, table: Table, row: Row | None = None) -> Figure | None:
    from benchmark.report.clean_vs_worst import clean_vs_worst

    return clean_vs_worst(table, _styles(run))


@_styled
def _cost(run: Run, table: Table, row: Row | None = None) -> Figure | None:
    from benchmark.report.robustness_vs_cost import robustness_vs_cost

    return robustness_vs_cost(table, _styles(run))


@_styled
def _heatmap(run: Run, table: Table, row: Row | None = None) -> Figure | None:
    from benchmark.report.heatmap import heatmap

    return heatmap(table)


@_styled
def _eps(run: Run, table: Table, row: Row | None = None) -> Figure | None:
    from benchmark.report.eps_curves import eps_curves

    return eps_curves(run, table, _styles(run))


@_styled
def _seen(run: Run, table: Table, row: Row | None = None) -> Figure | None:
    from benchmark.report.seen import seen

    return seen(run, table)


@_styled
def _training(run: Run, table: Table, row: Row | None = None) -> Figure | None:
    from benchmark.report.training_curves import training_curves

    return training_curves(table, _styles(run))


@_styled
def _tsne(run: Run, table: Table, row: Row | None = None) -> Figure | None:
    from benchmark.report.tsne import tsne

    candidates: Iterable[Row] = table.rows if row is None else [row]
    drawn = (tsne(run, table, one) for one in candidates)
    return next((figure for figure in drawn if figure is not None), None)


FIGURES: dict[str, Drawing] = {
    "clean_vs_worst": _clean_vs_worst,
    "cost": _cost,
    "heatmap": _heatmap,
    "eps": _eps,
    "seen": _seen,
    "training": _training,
    "tsne": _tsne,
}
"""How to draw each kind of figure, in the report's style."""


def _styles(run: Run) -> dict[str, LineStyle]:
    return line_styles((cell.key.defense for cell in run.table_cells), run.manifest.references)
