"""Figure: the score of each row under each attack alone."""

from __future__ import annotations

from collections import Counter
from math import isnan
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from benchmark.report.clean_vs_worst import PANELS
from benchmark.report.labels import dagger_note, reliable, row_label
from benchmark.report.rows import Row
from benchmark.report.style import METRICS, budget, headline, new_figure, percent, wrapped
from benchmark.report.tables import Table

CLEAN, WORST = "clean", "worst case"
SPEC_WIDTH = 44
"""Letters of an attack's name in a line."""
CELL = 0.62
"""Inches of a cell's width."""


def heatmap(table: Table) -> Figure | None:
    """Draws attacks against rows, a panel for each scenario; None when no attack has a metric.

    An attack that has no metric of its own in a scenario, on any row, has no line there.
    """
    panels = [
        (scenario, metric, title, attacks)
        for scenario, metric, title in PANELS
        if (attacks := attacks_alone(table, scenario, metric))
    ]
    if not panels:
        return None
    names = [[wrapped(table.names.attack(attack), SPEC_WIDTH) for attack in panel[3]] for panel in panels]
    heights = [_heights(of_panel) for of_panel in names]
    longest = max(len(line) for of_panel in names for name in of_panel for line in name.split("\n"))
    rows = [row_label(row) for row in table.rows]
    top = 0.55 + 0.065 * max(len(line) for row in rows for line in row.split("\n"))
    figure = new_figure(
        max(7.5, 0.9 + 0.075 * longest + CELL * len(rows)),
        1.3 + top + 0.4 * len(panels) + sum(map(sum, heights)),
    )
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=[sum(of) for of in heights])[:, 0]
    for axes, (scenario, metric, title, attacks), lines, sizes in zip(
        grid, panels, names, heights, strict=True
    ):
        _draw(axes, _values(table, scenario, metric, attacks), sizes)
        beside: Any = {"xytext": (-5, 3), "textcoords": "offset points", "annotation_clip": False}
        axes.annotate(title, (0, 0), ha="right", va="bottom", fontsize=9.5, fontweight="bold", **beside)
        middles = np.cumsum(sizes) - np.array(sizes) / 2
        axes.set_yticks(middles, [CLEAN, *lines, WORST], fontsize=8.5)
        axes.get_yticklabels()[-1].set_fontweight("bold")
        axes.set_xticks([])
    above = grid[0]
    above.xaxis.tick_top()
    above.set_xticks(np.arange(len(rows)) + 0.5, rows, rotation=50, ha="left", rotation_mode="anchor")
    above.tick_params(axis="x", length=0, labelsize=9)
    bar = figure.colorbar(
        ScalarMappable(cmap="cividis"), ax=list(grid), ticks=[0, 0.5, 1], fraction=0.03, pad=0.01, aspect=30
    )
    bar.ax.set_yticklabels(["0 %", "50 %", "100 %"], fontsize=8)
    bar.outline.set_visible(False)
    headline(figure, _title(table, panels[0][0], panels[0][1]), _note(table))
    return figure


def attacks_alone(table: Table, scenario: str, metric: str) -> list[str]:
    """The attacks that have a metric of their own on some row, at the table's budget, in alphabetical order.

    For clustering also those of the plot over budgets, which count towards the worst case.
    """
    found = {
        attack
        for row in table.rows
        for attack, value in row.standalone(scenario, metric).items()
        if not isnan(value)
    }
    return sorted(found, key=table.names.short)


def _heights(names: list[str]) -> list[float]:
    """Inches of each line of a panel: the clean scores, the attacks, the worst case."""
    return [0.32, *(0.16 + 0.16 * (name.count("\n") + 1) for name in names), 0.32]


def _values(table: Table, scenario: str, metric: str, attacks: list[str]) -> np.ndarray:
    clean = [row.mean(f"clean_{metric}") for row in table.rows]
    worst = [row.mean(f"worst_{metric}") for row in table.rows]
    own = [row.standalone(scenario, metric) for row in table.rows]
    alone = [[values.get(attack, float("nan")) for values in own] for attack in attacks]
    return np.array([clean, *alone, worst])


def _draw(axes: Axes, values: np.ndarray, heights: list[float]) -> None:
    colors = colormaps["cividis"].with_extremes(bad="#EEEEEE")
    edges = np.concatenate([[0.0], np.cumsum(heights)])
    across = np.arange(values.shape[1] + 1)
    axes.pcolormesh(across, edges, np.ma.masked_invalid(values), cmap=colors, vmin=0, vmax=1)
    for (line, column), value in np.ndenumerate(values):
        text = "\u2013" if isnan(value) else percent(value)
        ink = "#555555" if isnan(value) else "white" if value < 0.45 else "black"
        middle = (edges[line] + edges[line + 1]) / 2
        axes.text(column + 0.5, middle, text, ha="center", va="center", fontsize=9, color=ink)
    for edge in (edges[1], edges[-2]):
        axes.axhline(edge, color="white", linewidth=4)
    axes.set_ylim(edges[-1], 0)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)


def _title(table: Table, scenario: str, metric: str) -> str:
    """Says which attack is the worst alone, as the table's column of the worst attack does, and for how many.

    Rows under one attack alone compare nothing.
    """
    rows = [row for row in reliable(table.rows) if _compared(row, scenario, metric)]
    if not rows:
        return f"What the attack leaves, in percent ({budget(table.key.norm, table.key.eps)})"
    winners = Counter(row.worst_attack(scenario, metric) for row in rows).most_common()
    attack, count = winners[0]
    name, lowered = table.names.attack(attack), f"alone lowers {METRICS[metric]} most"
    whole = len(rows) == len(reliable(table.rows))
    if count == len(rows) == 1:
        return f"{name} {lowered}, for {rows[0].name}"
    if count == len(rows) and whole:
        return f"{name} {lowered}, for every {table.noun}"
    if count == len(rows) or count > winners[1][1]:
        which = "" if whole else " that it can be compared on"
        return f"{name} {lowered} for {count} of the {len(rows)} {table.noun}s{which}"
    return (
        f"No one attack is strongest: {METRICS[metric]} is lowered most by {len(winners)} different ones, "
        f"depending on the {table.noun}"
    )


def _compared(row: Row, scenario: str, metric: str) -> bool:
    return sum(not isnan(value) for value in row.standalone(scenario, metric).values()) > 1


def _note(table: Table) -> str:
    key = table.key
    several = ", mean over training seeds" if any(row.n_seeds > 1 for row in table.rows) else ""
    return (
        f"Percent{several}, at {budget(key.norm, key.eps)}; {table.trained}. Each line is one attack alone; "
        f"the last is the leaderboard's worst case.{_left_out(table)}{dagger_note(table.rows)}"
    )


def _left_out(table: Table) -> str:
    """Says that attacks on what still stands have no line of R@1, where there are some."""
    some = any(cell.follows_others for row in table.rows for cell in row.cells)
    return " Attacks on only the queries that still stood have no R@1 of their own." if some else ""
