"""Draws all figures of a report, names their files, and removes stale ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from benchmark.core.unfinished import remove_unfinished
from benchmark.report.cell_results import Run
from benchmark.report.display_names import NOT_TRAINED
from benchmark.report.kept_figures import figure_inputs, kept_figures, note_figures
from benchmark.report.rows import Row
from benchmark.report.style import LineStyle, format_eps, line_styles, save, slug
from benchmark.report.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = "figures"
UNNAMED_MODES = ("equal-epochs", NOT_TRAINED)
"""The compute modes that file names leave out."""
SETTINGS: Any = {"font.family": "DejaVu Sans", "font.size": 9.5, "axes.edgecolor": "#888888"}


def in_style() -> AbstractContextManager[None]:
    """Sets the report's fonts and colors for what is drawn or saved inside."""
    from matplotlib import rc_context

    return rc_context(SETTINGS)


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
def _heatmap(run: Run, table: Table, row: Row | None = None) -> Figure | None:
    from benchmark.report.heatmap import heatmap

    return heatmap(table)


@_styled
def _eps(run: Run, table: Table, row: Row | None = None) -> Figure | None:
    from benchmark.report.eps_curves import eps_curves

    return eps_curves(run, table, _styles(run))


@_styled
def _training(run: Run, table: Table, row: Row | None = None) -> Figure | None:
    from benchmark.report.training_curves import training_curves

    return training_curves(table, _styles(run))


@_styled
def _tsne(run: Run, table: Table, row: Row | None = None) -> Figure | None:
    from benchmark.report.tsne import tsne

    drawn = (tsne(run, table, one) for one in (table.rows if row is None else [row]))
    return next((figure for figure in drawn if figure is not None), None)


FIGURES: dict[str, Drawing] = {
    "clean_vs_worst": _clean_vs_worst,
    "heatmap": _heatmap,
    "eps": _eps,
    "training": _training,
    "tsne": _tsne,
}
"""How to draw each kind of figure, in the report's style."""
OWN_NAME = re.compile(rf"({'|'.join(FIGURES)})_[a-z0-9._-]+\.png")


@dataclass
class TableFigures:
    """The figures of one table, as paths; None or absent where there was nothing to draw.

    Attributes:
        training: set only at the first of the tables that show the same models.
        tsne: by the name of the row.
    """

    clean_vs_worst: Path | None = None
    heatmap: Path | None = None
    eps: Path | None = None
    training: Path | None = None
    tsne: dict[str, Path] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Path]:
        yield from filter(None, (self.clean_vs_worst, self.heatmap, self.eps, self.training))
        yield from self.tsne.values()


def draw_figures(run: Run, tables: list[Table], output: Path) -> tuple[list[TableFigures], bool]:
    """Draws the figures of each table into `figures/`, and removes those of an earlier report.

    Those of an earlier report are kept when nothing changed that they show. Tables of other compute modes
    than the lead have only the plots of clean and worst cases and of trainings.

    Returns:
        The figures, and whether they were kept.
    """
    folder = output / FOLDER
    remove_unfinished(folder)
    inputs = figure_inputs(run)
    kept = kept_figures(run, inputs, folder)
    drawn: list[TableFigures] = []
    trainings: set[str] = set()

    def save_as(kind: str, name: str, table: Table, row: Row | None = None) -> Path | None:
        path = folder / f"{kind}_{name}.png"
        if kept is not None:
            return path if path.name in kept else None
        return _save(FIGURES[kind](run, table, row), path)

    for table in tables:
        trained, name = trained_slug(table), table_slug(table)
        figures = TableFigures(clean_vs_worst=save_as("clean_vs_worst", name, table))
        if trained not in trainings:
            figures.training = save_as("training", trained, table)
            trainings.add(trained)
        if table.lead:
            figures.heatmap = save_as("heatmap", name, table)
            figures.eps = save_as("eps", name, table)
            for row in table.rows:
                if path := save_as("tsne", f"{name}_{slug(row.name)}", table, row):
                    figures.tsne[row.name] = path
        drawn.append(figures)
    paths = {path for figures in drawn for path in figures}
    _clear(folder, paths)
    if kept is None:
        note_figures(run, inputs, paths)
    return drawn, kept is not None


def table_slug(table: Table) -> str:
    """The part of file names that tells a table from the others."""
    key = table.key
    parts = table.names.setting(key.dataset, key.backbone, key.loss)
    return slug(*parts, key.norm, format_eps(key.eps), *_mode(table))


def trained_slug(table: Table) -> str:
    """The part of file names that tells the models of a table from those of others."""
    key = table.key
    return slug(*table.names.setting(key.dataset, key.backbone, key.loss), *_mode(table))


def _mode(table: Table) -> list[str]:
    return [] if table.key.compute in UNNAMED_MODES else [table.key.compute]


def _styles(run: Run) -> dict[str, LineStyle]:
    return line_styles((cell.key.defense for cell in run.table_cells), run.manifest.references)


def _save(figure: Figure | None, path: Path) -> Path | None:
    if figure is None:
        return None
    with in_style():
        save(figure, path)
    return path


def _clear(folder: Path, current: set[Path]) -> None:
    """Removes stale figures; a file that does not have one of the report's own names is not touched."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if OWN_NAME.fullmatch(path.name) and path not in current:
            path.unlink()
