"""Draws all figures of a report, names their files, and removes stale ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from benchmark.report.cell_results import Run
from benchmark.report.clean_vs_worst import clean_vs_worst
from benchmark.report.eps_curves import eps_curves
from benchmark.report.heatmap import heatmap
from benchmark.report.style import format_eps, line_styles, save, slug
from benchmark.report.tables import Table
from benchmark.report.training_curves import training_curves
from benchmark.report.tsne import tsne

FOLDER = "figures"
UNNAMED_MODE = "equal-epochs"
"""The compute mode that file names leave out."""
OWN_NAME = re.compile(r"(clean_vs_worst|heatmap|eps|tsne|training)_[a-z0-9._-]+\.png")
SETTINGS: Any = {"font.family": "DejaVu Sans", "font.size": 9.5, "axes.edgecolor": "#888888"}


@dataclass
class TableFigures:
    """The figures of one table, as paths; None or absent where there was nothing to draw.

    Attributes:
        training: set only at the first of the tables that show the same models.
    """

    clean_vs_worst: Path | None = None
    heatmap: Path | None = None
    eps: Path | None = None
    training: Path | None = None
    tsne: dict[str, Path] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Path]:
        yield from filter(None, (self.clean_vs_worst, self.heatmap, self.eps, self.training))
        yield from self.tsne.values()


def draw_figures(run: Run, tables: list[Table], output: Path) -> list[TableFigures]:
    """Draws the figures of each table into `figures/`, and removes those of an earlier report.

    Tables of other compute modes than the lead have only the plots of clean and worst cases and of trainings.
    """
    folder = output / FOLDER
    styles = line_styles((cell.key.defense for cell in run.table_cells), run.manifest.references)
    with rc_context(SETTINGS):
        drawn, trainings = [], set()
        for table in tables:
            key = table.key
            mode = () if key.compute == UNNAMED_MODE else (key.compute,)
            trained = slug(table.dataset, table.backbone, key.loss, *mode)
            name = slug(table.dataset, table.backbone, key.loss, key.norm, format_eps(key.eps), *mode)
            figures = TableFigures(
                clean_vs_worst=_save(clean_vs_worst(table, styles), folder / f"clean_vs_worst_{name}.png")
            )
            if trained not in trainings:
                figures.training = _save(training_curves(table, styles), folder / f"training_{trained}.png")
                trainings.add(trained)
            if table.lead:
                figures.heatmap = _save(heatmap(table), folder / f"heatmap_{name}.png")
                figures.eps = _save(eps_curves(run, table, styles), folder / f"eps_{name}.png")
                figures.tsne = _draw_tsne(run, table, folder, name)
            drawn.append(figures)
    _clear(folder, {path for figures in drawn for path in figures})
    return drawn


def _draw_tsne(run: Run, table: Table, folder: Path, name: str) -> dict[str, Path]:
    paths = {}
    for row in table.rows:
        path = _save(tsne(run, table, row), folder / f"tsne_{name}_{slug(row.defense)}.png")
        if path:
            paths[row.defense] = path
    return paths


def _save(figure: Figure | None, path: Path) -> Path | None:
    if figure is None:
        return None
    save(figure, path)
    return path


def _clear(folder: Path, current: set[Path]) -> None:
    """Removes stale figures; a file that does not have one of the report's own names is not touched."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if OWN_NAME.fullmatch(path.name) and path not in current:
            path.unlink()
