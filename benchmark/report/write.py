"""Writes the whole report of an output folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from benchmark.core.files import write_atomically
from benchmark.records import RunManifest, Store
from benchmark.report.attacked_images import write_attacked_images
from benchmark.report.cell_results import Run
from benchmark.report.csv_files import cells_frame, leaderboard_frame, write_csv
from benchmark.report.exports import Export
from benchmark.report.figures import FOLDER, Figures, draw_figures
from benchmark.report.kept_covariances import KeptCovariances
from benchmark.report.markdown import render
from benchmark.report.page import render_page
from benchmark.report.ranking import rank
from benchmark.report.ranking_board import ranking_frame
from benchmark.report.tables import Table, collect
from benchmark.report.verdict import verdict_lines

PAGE = "leaderboard.html"


def read_tables(output: Path) -> tuple[Run, list[Table]]:
    """Reads the records under an output folder, and ranks the rows of each table.

    Args:
        output: the folder that a run wrote to.

    Raises:
        UsageError: when the folder holds no run.
    """
    run, tables, _ = _read(output, None)
    return run, tables


def _read(output: Path, manifest: RunManifest | None) -> tuple[Run, list[Table], KeptCovariances]:
    run = Run(Store(output), manifest)
    tables, covariances = collect(run), KeptCovariances(run)
    for table in tables:
        rank(run, table, covariances)
    return run, tables, covariances


def verdicts(output: Path, manifest: RunManifest | None = None) -> list[str]:
    """Reads the verdicts on the user's own models under an output folder, as lines of plain text.

    Args:
        output: the folder that a run wrote to.
        manifest: the manifest of the run; by default the folder's.

    Returns:
        What `verdict_lines` does; empty, and soon, in a run without own models.

    Raises:
        UsageError: when the folder holds no run.
    """
    store = Store(output)
    manifest = manifest or store.manifest()
    if not manifest.own_models:
        return []
    run = Run(store, manifest)
    return verdict_lines(run, collect(run))


def write_report(
    output: Path,
    tell: Callable[[str], object] = lambda line: None,
    workers: int = 1,
    exports: Sequence[Export] = (),
    manifest: RunManifest | None = None,
) -> list[Path]:
    """Writes tables, figures and a page from the records under an output folder.

    Cells of the grid that have no record are shown as not run yet, so it can be called at any time.

    Args:
        output: the folder that a run wrote to.
        tell: called with a line when figures of an earlier report were kept, since nothing changed that they
            show, and for each picture that could not be drawn.
        workers: number of processes that draw figures, where there are many.
        exports: other formats to write the results in.
        manifest: the manifest of the run; by default the folder's, which another run may have replaced.

    Returns:
        The files written: `leaderboard.csv`, `cells.csv`, `leaderboard.md`, `leaderboard.html`, `ranking.csv`
        where its attacks were run, then those of the exports, the figures and the attacked images.

    Raises:
        UsageError: when the folder holds no run or cannot be written.
    """
    run, tables, covariances = _read(output, manifest)
    covariances.save()
    names = ("leaderboard.csv", "cells.csv", "leaderboard.md", PAGE)
    leaderboard, cells, board, page = (output / name for name in names)
    write_csv(leaderboard_frame(run, tables), leaderboard)
    write_csv(cells_frame(run), cells)
    side = ranking_frame(run)
    ranking = [output / "ranking.csv"] if len(side) else []
    for path in ranking:
        write_csv(side, path)
    exported = [path for export in exports for path in export.write(run, tables, output)]
    figures = draw_figures(run, tables, output, workers)
    if figures.kept:
        tell(_kept(figures))
    images = write_attacked_images(run, tables, output)
    failed = [*figures.failed.items(), *(failure for of_row in images for failure in of_row.failed.items())]
    for name, reason in failed:
        tell(f"The figure {name} could not be drawn: {reason}")
    text = render(run, tables, figures.tables, output, images, failed)
    _write(text, board)
    _write(render_page(run, tables, figures.tables, output, text, images, failed), page)
    drawn = [path for of_table in figures.tables for path in of_table.files]
    kept = [path for of_row in images for path in of_row]
    return [leaderboard, cells, board, page, *ranking, *exported, *drawn, *kept]


def _write(text: str, path: Path) -> None:
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8", newline="\n"))


def _kept(figures: Figures) -> str:
    if not figures.drawn and not figures.failed:
        return (
            f"The figures are kept: no record changed since they were drawn. Delete {FOLDER}/ to redraw them."
        )
    return (
        f"{figures.kept} of {figures.kept + figures.drawn + len(figures.failed)} figures are kept: nothing "
        f"changed that they show. Delete {FOLDER}/ to redraw them."
    )
