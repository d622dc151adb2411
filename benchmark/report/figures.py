"""Draws the figures of a report that changed, names their files, and removes stale ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import astuple, dataclass, field, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from benchmark.core.unfinished import remove_unfinished
from benchmark.report.cell_results import Run
from benchmark.report.display_names import NOT_TRAINED
from benchmark.report.drawing import draw_all
from benchmark.report.kept_figures import FigureInputs, kept_figures, note_figures
from benchmark.report.rows import Row
from benchmark.report.style import LineStyle, format_eps, line_styles, save, slug, with_hash
from benchmark.report.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = "figures"
UNNAMED_MODES = ("equal-epochs", NOT_TRAINED)
"""The compute modes that file names leave out."""
SETTINGS: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.edgecolor": "#888888",
    "text.parse_math": False,  # names may hold a $
}


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
OVER_BUDGETS = frozenset({"eps"})
"""The kinds that show cells of several tables of a setting."""
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

    def add(self, picture: FigurePicture, table: Table) -> None:
        """Adds a figure that there is."""
        if picture.row is None:
            setattr(self, picture.kind, picture.path)
        else:
            self.tsne[table.rows[picture.row].name] = picture.path


@dataclass(frozen=True)
class FigurePicture:
    """A figure to draw, and its file.

    Attributes:
        kind: the name of the kind.
        path: the file.
        table: position of its table.
        row: position of the row that it shows; None for kinds that show all.
    """

    kind: str
    path: Path
    table: int
    row: int | None = None

    def draw(self, source: object) -> bool:
        """Draws the file, unless there is nothing to draw.

        Args:
            source: the run and its tables.
        """
        run, tables = cast("tuple[Run, list[Table]]", source)
        table = tables[self.table]
        figure = FIGURES[self.kind](run, table, None if self.row is None else table.rows[self.row])
        if figure is None:
            return False
        with in_style():
            save(figure, self.path)
        return True


@dataclass
class Figures:
    """The figures of a report.

    Attributes:
        tables: those of each table.
        failed: why figures could not be drawn, by the name of their file.
        drawn, kept: how many were drawn now, and how many are those of an earlier report.
    """

    tables: list[TableFigures]
    failed: dict[str, str]
    drawn: int
    kept: int


def draw_figures(run: Run, tables: list[Table], output: Path, workers: int = 1) -> Figures:
    """Draws the figures of each table into `figures/`, and removes those of an earlier report.

    Those of an earlier report are kept when nothing changed that they show. Tables of other compute modes
    than the lead have only the plots of clean and worst cases and of trainings.

    Args:
        run: the run.
        tables: its tables, ranked.
        output: the folder of the report.
        workers: number of processes, where there are many figures to draw.
    """
    remove_unfinished(output / FOLDER)
    pictures = list(_told_apart(_pictures(tables, output / FOLDER), tables))
    of = FigureInputs(run)
    inputs = {one.path: _inputs(of, tables, one) for one in pictures}
    there = kept_figures(run, inputs)
    kept = sum(there.values())
    results = draw_all([one for one in pictures if one.path not in there], (run, tables), workers)
    failed = {path: result.failure for path, result in results.items() if result.failure}
    there |= {path: result.there for path, result in results.items()}
    _clear(output / FOLDER, {path for path, is_there in there.items() if is_there})
    note_figures(run, inputs, failed)
    found = [TableFigures() for _ in tables]
    for one in pictures:
        if there[one.path]:
            found[one.table].add(one, tables[one.table])
    drawn = sum(result.there for result in results.values())
    return Figures(found, {path.name: reason for path, reason in failed.items()}, drawn, kept)


def _pictures(tables: list[Table], folder: Path) -> Iterator[FigurePicture]:
    """Lists the figures that a report may have."""
    trainings: set[str] = set()
    for index, table in enumerate(tables):
        trained, name = trained_slug(table), table_slug(table)
        yield FigurePicture("clean_vs_worst", folder / f"clean_vs_worst_{name}.png", index)
        if trained not in trainings:
            trainings.add(trained)
            yield FigurePicture("training", folder / f"training_{trained}.png", index)
        if table.lead:
            for kind in ("heatmap", "eps"):
                yield FigurePicture(kind, folder / f"{kind}_{name}.png", index)
            for number, row in enumerate(table.rows):
                yield FigurePicture("tsne", folder / f"tsne_{name}_{slug(row.name)}.png", index, number)


def _told_apart(pictures: Iterable[FigurePicture], tables: list[Table]) -> Iterator[FigurePicture]:
    """The figures, with a hash in the name of those whose file another has, as `a[b=1]` and `a-b-1` would."""
    taken: set[Path] = set()
    for one in pictures:
        table = tables[one.table]
        of = [*map(str, astuple(table.key)), "" if one.row is None else table.rows[one.row].defense]
        path = one.path if one.path not in taken else with_hash(one.path, of)
        taken.add(path)
        yield replace(one, path=path)


def _inputs(inputs: FigureInputs, tables: list[Table], one: FigurePicture) -> str:
    table = tables[one.table]
    row = None if one.row is None else table.rows[one.row]
    return inputs.of(table, row, one.kind in OVER_BUDGETS)


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


def _clear(folder: Path, current: set[Path]) -> None:
    """Removes stale figures; a file that does not have one of the report's own names is not touched."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if OWN_NAME.fullmatch(path.name) and path not in current:
            path.unlink()
