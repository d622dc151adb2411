"""Draws the figures of a report that changed, names their files, and removes stale ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import cast

from benchmark.core.unfinished import remove_unfinished
from benchmark.report.cell_results import Run
from benchmark.report.drawing import draw_all
from benchmark.report.figure_kinds import FIGURES
from benchmark.report.file_names import table_slug, trained_slug
from benchmark.report.fonts import in_style
from benchmark.report.kept_figures import FigureInputs, kept_alt_texts, kept_figures, note_figures
from benchmark.report.style import alt_text, save, slug, svg_of, with_hash
from benchmark.report.tables import Table

FOLDER = "figures"
OVER_BUDGETS = frozenset({"eps"})
"""The kinds that show cells of several tables of a setting."""
OWN_NAME = re.compile(rf"({'|'.join(FIGURES)})_[a-z0-9._-]+\.(png|svg)")


@dataclass
class TableFigures:
    """The figures of one table, as paths of PNGs; None or absent where there was nothing to draw.

    Beside each PNG there is an SVG, `svg_of(path)`.

    Attributes:
        cost: robustness against training cost.
        seen: what a person sees of an attack.
        training: set only at the first of the tables that show the same models.
        tsne: by the name of the row.
        alt_texts: what each says, in a sentence, by its path.
    """

    clean_vs_worst: Path | None = None
    cost: Path | None = None
    heatmap: Path | None = None
    eps: Path | None = None
    seen: Path | None = None
    training: Path | None = None
    tsne: dict[str, Path] = field(default_factory=dict)
    alt_texts: dict[Path, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Path]:
        kinds = (self.clean_vs_worst, self.cost, self.heatmap, self.eps, self.seen, self.training)
        yield from filter(None, kinds)
        yield from self.tsne.values()

    @property
    def files(self) -> list[Path]:
        """The files of all figures: each PNG, then its SVG."""
        return [file for path in self for file in (path, svg_of(path))]

    def alt(self, path: Path) -> str:
        """What a figure says, for readers who do not see it: its title."""
        return self.alt_texts.get(path, "")

    def add(self, picture: FigurePicture, table: Table, alt: str) -> None:
        """Adds a figure that there is, with its alternative text."""
        self.alt_texts[picture.path] = alt
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

    def draw(self, source: object) -> str:
        """Draws the files, unless there is nothing to draw.

        Args:
            source: the run and its tables.

        Returns:
            The alternative text; empty where there is nothing to draw.
        """
        run, tables = cast("tuple[Run, list[Table]]", source)
        table = tables[self.table]
        figure = FIGURES[self.kind](run, table, None if self.row is None else table.rows[self.row])
        if figure is None:
            return ""
        with in_style():
            save(figure, self.path)
        return alt_text(figure)


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
    than the lead have only the plots of clean and worst cases, of costs and of trainings.

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
    alt_texts = kept_alt_texts(run, there)
    kept = sum(there.values())
    results = draw_all([one for one in pictures if one.path not in there], (run, tables), workers)
    failed = {path: result.failure for path, result in results.items() if result.failure}
    there |= {path: result.there for path, result in results.items()}
    alt_texts |= {path: result.alt for path, result in results.items() if result.there}
    current = [path for path, is_there in there.items() if is_there]
    _clear(output / FOLDER, {*current, *map(svg_of, current)})
    note_figures(run, inputs, failed, alt_texts)
    found = [TableFigures() for _ in tables]
    for one in pictures:
        if there[one.path]:
            found[one.table].add(one, tables[one.table], alt_texts.get(one.path, ""))
    drawn = sum(result.there for result in results.values())
    return Figures(found, {path.name: reason for path, reason in failed.items()}, drawn, kept)


def _pictures(tables: list[Table], folder: Path) -> Iterator[FigurePicture]:
    """Lists the figures that a report may have."""
    trainings: set[str] = set()
    for index, table in enumerate(tables):
        trained, name = trained_slug(table), table_slug(table)
        for kind in ("clean_vs_worst", "cost"):
            yield FigurePicture(kind, folder / f"{kind}_{name}.png", index)
        if trained not in trainings:
            trainings.add(trained)
            yield FigurePicture("training", folder / f"training_{trained}.png", index)
        if table.lead:
            for kind in ("heatmap", "eps", "seen"):
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


def _clear(folder: Path, current: set[Path]) -> None:
    """Removes stale figures; a file that does not have one of the report's own names is not touched."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if OWN_NAME.fullmatch(path.name) and path not in current:
            with suppress(OSError):  # as in a folder that cannot be written
                path.unlink()
