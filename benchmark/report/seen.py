"""Figure: what a person sees of an attack: a query, its perturbation, and its neighbors before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.core.errors import BenchmarkError
from benchmark.report.attacked_images import read_images
from benchmark.report.cell_results import RETRIEVAL, CellResult, Run
from benchmark.report.image_panel import GREY_LEVEL, RIGHT, WRONG, amplification, show
from benchmark.report.labels import dagger_note, row_label
from benchmark.report.rows import Row
from benchmark.report.style import budget, headline, new_figure
from benchmark.report.tables import Table

ROWS = 3
SIZE = 0.92
"""Inches of an image's side."""
NEAR = 4
"""Neighbors that are shown, at most."""


@dataclass(frozen=True)
class _Line:
    """One row's image: the row and the tensors of the query, without their first axis."""

    row: Row
    image: Mapping[str, np.ndarray]

    def is_right(self, when: str) -> bool:
        """Whether the nearest neighbor "before" or "after" the attack has the query's class."""
        labels = self.image[f"{when}_labels"]
        return len(labels) > 0 and bool(labels[0] == self.image["label"])


def seen(run: Run, table: Table) -> Figure | None:
    """Draws one query under one attack for up to three rows, of those whose attacked images were kept.

    The rows are the first, the middle and the last that are ranked. The attack is that with the lowest mean
    R@1 of those whose images all of them kept, for the first seed. The query is the first of those kept that
    all of them find right when nothing is attacked and on which each fares under attack as on most queries;
    else the first that all find right, else the first.

    Returns:
        None where no ranked row has kept images.

    Raises:
        BenchmarkError: when the images of a row are damaged.
    """
    kept = {row.defense: _kept(run, row) for row in table.rows}
    rows = _chosen([row for row in table.rows if kept[row.defense] and row.rank is not None])
    rows = rows or _chosen([row for row in table.rows if kept[row.defense]])
    shared = set.intersection(*(set(kept[row.defense]) for row in rows)) if rows else set()
    if not shared:
        return None
    cells = {
        attack: [kept[row.defense][attack] for row in rows]
        for attack in sorted(shared, key=table.names.short)
    }
    attack = min(cells, key=lambda attack: sum(cell.metric("r1") for cell in cells[attack]))
    for cell in cells[attack]:
        run.check_images(cell)
    keeps = [cell.metric("r1") > 0.5 for cell in cells[attack]]
    lines = _lines(rows, [read_images(run.images(cell)) for cell in cells[attack]], keeps)
    return None if lines is None else _drawn(table, attack, lines)


def _kept(run: Run, row: Row) -> dict[str, CellResult]:
    """The cells of the row's first seed whose attacked images were kept, by attack."""
    return {
        attack: cell
        for attack, cells in row.attacked(RETRIEVAL).items()
        for cell in cells
        if cell.key.seed == row.first_seed and run.images(cell).exists()
    }


def _chosen(rows: Sequence[Row]) -> list[Row]:
    """The first, the middle and the last."""
    if len(rows) <= ROWS:
        return list(rows)
    return [rows[0], rows[len(rows) // 2], rows[-1]]


def _lines(
    rows: Sequence[Row], tensors: Sequence[dict[str, np.ndarray]], keeps: Sequence[bool]
) -> list[_Line] | None:
    """The same query of each row; None where they kept no query in common.

    Args:
        rows: the rows.
        tensors: the kept images of each.
        keeps: whether each finds most queries right under the attack.
    """
    shared = [query for query in tensors[0]["query"].tolist() if all(query in of["query"] for of in tensors)]
    candidates = []
    for query in shared:
        lines = []
        for row, of in zip(rows, tensors, strict=True):
            place = of["query"].tolist().index(query)
            lines.append(_Line(row, {name: value[place] for name, value in of.items()}))
        candidates.append(lines)
    if not candidates:
        return None
    if any(len({line.image["clean"].shape for line in lines}) > 1 for lines in candidates):
        raise BenchmarkError("the rows kept images of different shapes")
    sound = [lines for lines in candidates if all(line.is_right("before") for line in lines)]
    usual = [
        lines
        for lines in sound
        if all(line.is_right("after") == kept for line, kept in zip(lines, keeps, strict=True))
    ]
    return (usual or sound or candidates)[0]


def _drawn(table: Table, attack: str, lines: Sequence[_Line]) -> Figure:
    near = min(NEAR, *(len(line.image["before"]) for line in lines))
    widths = [1.0, 1.0, 1.0, 0.15, *[1.0] * near, 0.15, *[1.0] * near]
    width = 1.6 + SIZE * (sum(widths) + 0.08 * len(widths))
    figure = new_figure(width, 1.25 + len(lines) * (SIZE + 0.24))
    grid = figure.add_gridspec(len(lines), len(widths), width_ratios=widths)
    factors = [amplification(line.image["attacked"] - line.image["clean"]) for line in lines]
    factor = min(factors)  # the same for all, so that strengths can be compared
    for number, line in enumerate(lines):
        images = [
            ("query", line.image["clean"]),
            (f"perturbation \u00d7{factor}", _magnified(line.image, factor)),
            ("attacked query", line.image["attacked"]),
        ]
        for column, (title, image) in enumerate(images):
            axes = figure.add_subplot(grid[number, column])
            show(axes, image, title if number == 0 else "")
            if column == 0:
                axes.set_ylabel(row_label(line.row), rotation=0, ha="right", va="center", fontsize=9.5)
        for start, when in ((4, "before"), (5 + near, "after")):
            for place in range(near):
                axes = figure.add_subplot(grid[number, start + place])
                _neighbor(axes, line.image, when, place, number == 0)
    headline(figure, _title(table, lines), _note(table, attack, lines))
    return figure


def _magnified(image: Mapping[str, np.ndarray], factor: int) -> np.ndarray:
    difference = image["attacked"].astype(np.float64) - image["clean"]
    return np.clip(GREY_LEVEL + factor * difference, 0.0, 1.0)


def _neighbor(axes: Axes, image: Mapping[str, np.ndarray], when: str, place: int, first: bool) -> None:
    color, symbol = RIGHT if image[f"{when}_labels"][place] == image["label"] else WRONG
    title = f"nearest {when}" if first and place == 0 else f"{place + 1}." if first else ""
    show(axes, image[when][place], title, frame=color)
    axes.set_xlabel(symbol, fontsize=9, color=color, labelpad=3)


def _title(table: Table, lines: Sequence[_Line]) -> str:
    right = [line.row.name for line in lines if line.is_right("after")]
    wrong = [line.row.name for line in lines if not line.is_right("after")]
    one = f"One attacked query ({budget(table.key.norm, table.key.eps)}):"
    finds = "finds" if len(right) == 1 else "find"
    no_longer = "finds" if len(wrong) == 1 else "find"
    if not wrong:
        return f"{one} {_all(right)} still {finds} its class"
    if not right:
        return f"{one} {_all(wrong)} no longer {no_longer} its class"
    return f"{one} {_all(right)} still {finds} its class, {_all(wrong)} no longer"


def _all(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _note(table: Table, attack: str, lines: Sequence[_Line]) -> str:
    query = int(lines[0].image["query"])
    rows = "those with kept images"
    if len(lines) == ROWS:
        rows = "the first, the middle and the last in rank, of those with kept images"
    found = ""
    if all(line.is_right("before") for line in lines):
        found = (
            " that all find right when clean; of these, one on which each row fares under attack as it does "
            "on most queries goes first"
        )
    return (
        f"{table.trained}; {table.names.short(attack)}, on each row's own model. Rows: {rows}. "
        f"Query {query}: the first of those kept{found}. "
        f"{RIGHT[1]} blue frame: the class of the query; {WRONG[1]} orange frame: another class."
        f"{dagger_note([line.row for line in lines])}"
    )
