"""Fills the template of `leaderboard.html`."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup

from benchmark.report.attacked_images import RowImages
from benchmark.report.boards import AFTER, MARK
from benchmark.report.cell_results import Run
from benchmark.report.figures import TableFigures
from benchmark.report.marks import marks_legend
from benchmark.report.notes import running_note
from benchmark.report.page.attacks import attack_grids, checks_grid
from benchmark.report.page.boards import details, leaderboard
from benchmark.report.page.cell_html import marks, row
from benchmark.report.page.cells import cell_table
from benchmark.report.page.grid import Grid, choices, one_line
from benchmark.report.page.pictures import TITLES as PICTURES
from benchmark.report.page.pictures import Album
from benchmark.report.page.prose import anchor, breakable, sections, sentence
from benchmark.report.page.settings import TITLES
from benchmark.report.tables import Table
from benchmark.report.templates import fill, said_of_run, said_of_table

TEMPLATE = Path(__file__).with_name("page.html.jinja")
FILTERS = {**TITLES, "scenario": "scenario", "attack": "attack", "role": "role", "status": "status"}
"""The title of each filter, by the name of the columns that it reads."""


def render_page(
    run: Run,
    tables: Sequence[Table],
    figures: Sequence[TableFigures],
    output: Path,
    markdown: str,
    images: Sequence[RowImages] = (),
    failures: Iterable[tuple[str, str]] = (),
) -> str:
    """Fills the template of the page, which holds its style, its script and its pictures.

    Args:
        run: the run.
        tables: its tables, ranked.
        figures: the figures of each table.
        output: the folder of the page, which links are relative to.
        markdown: the text of `leaderboard.md`, some sections of which are on the page too.
        images: the attacked images of rows.
        failures: pictures that could not be drawn, and why.
    """
    filters: dict[str, Callable[..., Any]] = {
        "anchor": anchor,
        "breakable": breakable,
        "line": one_line,
        "marks": marks,
        "row": row,
        "sentence": sentence,
    }
    script = _packaged("page.js")
    values = {
        **_context(run, tables, figures, images, output),
        "style": Markup(_packaged("page.css")),
        "script": Markup(script),
        "script_hash": base64.b64encode(sha256(script.encode()).digest()).decode("ascii"),
        "sections": sections(markdown),
        "failures": [(one_line(name), one_line(reason)) for name, reason in failures],
    }
    return fill(TEMPLATE, filters, values, html=True)


def _context(
    run: Run,
    tables: Sequence[Table],
    figures: Sequence[TableFigures],
    images: Sequence[RowImages],
    output: Path,
) -> dict[str, Any]:
    rows = [row for table in tables for row in table.rows]
    album = Album(output)
    pictures = [
        picture
        for table, drawn in zip(tables, figures, strict=True)
        for picture in album.of_table(table, drawn)
    ]
    pictures += album.of_images(images)
    cells = cell_table(run)
    boards = [leaderboard(tables), details(tables)] if tables else []
    lead = [(place, table) for place, table in enumerate(tables) if table.lead]
    attacks = [grid for place, table in lead for grid in attack_grids(table, place)]
    checks = [
        grid for place, table in lead if (grid := checks_grid(table, place, run.manifest.checks)) is not None
    ]
    grids = [*boards, *attacks, *checks, cells.grid]
    return {
        **said_of_run(run, tables),
        "tables": [{"heading": table.heading, **said_of_table(run, table)} for table in tables],
        "boards": boards,
        "attacks": attacks,
        "checks": checks,
        "cells": cells,
        "filters": _filters(grids),
        "pictures": pictures,
        "more": [
            (title, [picture for picture in pictures if picture.single and picture.kind == kind])
            for kind, title in PICTURES.items()
        ],
        "legend": marks_legend(rows),
        "running_note": running_note(rows),
        "follows": any(cell.follows_others for cell in run.cells),
        "several": any(row.n_seeds > 1 for row in rows),
        "fails_mark": MARK,
        "follows_mark": AFTER,
        "done": sum(cell.done for cell in run.cells),
        "total": len(run.cells),
    }


def _filters(grids: Sequence[Grid]) -> list[tuple[str, str, list[str]]]:
    """The filters that have a choice: name, title and values."""
    found = [(name, title, choices(grids, name)) for name, title in FILTERS.items()]
    marks = dict.fromkeys(label for grid in grids for line in grid.lines for label in line.labels)
    found.append(("marks", "marks", list(marks)))
    return [one for one in found if len(one[2]) > 1]


def _packaged(name: str) -> str:
    return files("benchmark.report.page").joinpath(name).read_text(encoding="utf-8")
