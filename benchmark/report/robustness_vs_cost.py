"""Figure: the worst case of each row against the cost of its training, and which rows no other dominates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from benchmark.report.clean_vs_worst import PANELS
from benchmark.report.label_places import place_labels
from benchmark.report.labels import dagger_note, listed, reliable, row_label, seed_values, seeds_note
from benchmark.report.rows import Row
from benchmark.report.style import (
    GREY,
    METRICS,
    LineStyle,
    budget,
    headline,
    new_figure,
    percent,
    percent_axis,
    seed_range,
)
from benchmark.report.tables import Table

SAME_COST = 1.01
"""Ratio of two costs that count as the same: trainings end at a whole step."""
GAIN = 0.005
"""What a dearer row must gain over all cheaper ones to be on the front."""
FRONT = "no cheaper row keeps as much"
TICKS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 50, 100, 200, 500)


def robustness_vs_cost(table: Table, styles: Mapping[str, LineStyle]) -> Figure | None:
    """Draws a point for each trained row, a panel for each scenario, with the Pareto front of the means.

    Returns:
        None without two trained rows of different costs.
    """
    panels = [
        (metric, title, rows)
        for _, metric, title in PANELS
        if _costs_differ(rows := [row for row in table.rows if _has_point(row, metric)])
    ]
    if not panels:
        return None
    figure = new_figure(2.0 + 4.6 * len(panels), 5.4)
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (metric, title, rows) in zip(grid, panels, strict=True):
        _draw(axes, rows, metric, styles)
        _references(axes, table, metric, styles)
        axes.set_title(title, fontsize=10.5, loc="left")
        axes.set_xlabel("training cost, a multiple of vanilla training", fontsize=9)
    grid[0].set_ylabel("worst case")
    handles, labels = grid[-1].get_legend_handles_labels()
    grid[-1].legend(handles, labels, loc="lower right", frameon=False, fontsize=8.5)
    headline(figure, _title(table, panels[0][0], panels[0][2]), _note(table))
    for axes, (metric, _, rows) in zip(grid, panels, strict=True):
        points = [(row.training("relative_cost"), row.mean(f"worst_{metric}")) for row in rows]
        place_labels(axes, points, [row_label(row) for row in rows])
    return figure


def pareto_front(rows: Sequence[Row], metric: str) -> list[Row]:
    """The rows that keep more than every row that costs less or as much, cheapest first.

    Args:
        rows: rows with a cost and a worst case.
        metric: "ami" or "r1".
    """
    front: list[Row] = []
    best = float("-inf")
    for row in sorted(rows, key=lambda row: (row.training("relative_cost"), -row.mean(f"worst_{metric}"))):
        if row.mean(f"worst_{metric}") > best + GAIN:
            front.append(row)
            best = row.mean(f"worst_{metric}")
    return front


def _has_point(row: Row, metric: str) -> bool:
    return row.training("relative_cost") > 0 and not isnan(row.mean(f"worst_{metric}"))


def _costs_differ(rows: Sequence[Row]) -> bool:
    costs = [row.training("relative_cost") for row in rows]
    return len(costs) > 1 and max(costs) > SAME_COST * min(costs)


def _draw(axes: Axes, rows: Sequence[Row], metric: str, styles: Mapping[str, LineStyle]) -> None:
    costs = [row.training("relative_cost") for row in rows]
    front = pareto_front(reliable(rows), metric)
    steps = [(row.training("relative_cost"), row.mean(f"worst_{metric}")) for row in front]
    steps.append((1.25 * max(costs), steps[-1][1]))
    axes.plot(*zip(*steps, strict=True), drawstyle="steps-post", color="#BBBBBB", zorder=1, label=FRONT)
    for row, cost in zip(rows, costs, strict=True):
        style, value = styles[row.defense], row.mean(f"worst_{metric}")
        bar = seed_range(seed_values(row, f"worst_{metric}"))
        if bar is not None:
            axes.errorbar(cost, value, yerr=bar, color=style.color, capsize=3, linewidth=1.2, zorder=2)
        filled = style.color if row in front else "white"
        axes.plot(
            cost, value, style.marker, color=style.color, markerfacecolor=filled, markersize=9, zorder=3
        )
    axes.set_xscale("log")
    axes.set_xlim(0.85 * min(costs), 1.25 * max(costs))
    axes.set_xticks([tick for tick in TICKS if 0.9 * min(costs) <= tick <= 1.2 * max(costs)])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}\u00d7"))
    percent_axis(axes, "y")


def _references(axes: Axes, table: Table, metric: str, styles: Mapping[str, LineStyle]) -> None:
    """Draws rows that were not trained here, which have no cost, as lines."""
    for row in table.rows:
        value = row.mean(f"worst_{metric}")
        if (row.reference or row.own) and not isnan(value):
            style = styles[row.defense] if row.own else LineStyle(GREY, "", ":")
            label = f"{row.name}: not trained here" if row.own else f"{row.name}: not trained"
            axes.axhline(value, color=style.color, linestyle=":", linewidth=1.2, zorder=0, label=label)


def _title(table: Table, metric: str, rows: Sequence[Row]) -> str:
    front = pareto_front(reliable(rows), metric)
    first, last = front[0], front[-1]
    name, times = METRICS[metric], last.training("relative_cost") / first.training("relative_cost")
    kept = f"{percent(last.mean(f'worst_{metric}'), 1)} %"
    if first is last:
        return f"{first.name} keeps the most {name} ({kept}), and no {table.noun} is cheaper"
    between = [row.name for row in front[1:-1]]
    beside = f"; between them only {listed(between, table.noun)} pay" if between else ""
    if len(between) == 1:
        beside += "s"
    factor = f"{times:.2g}" if times < 10 else f"{times:.0f}"
    return f"{last.name} keeps {kept} {name} at {factor} times the training cost of {first.name}{beside}"


def _note(table: Table) -> str:
    key = table.key
    rows = [row for row in table.rows if row.training("relative_cost") > 0]
    note = (
        f"{table.trained}; {budget(key.norm, key.eps)}. Filled: on the Pareto front (grey line), by more "
        f"than {100 * GAIN:g} points; hollow: a row that costs no more keeps as much."
    )
    return note + seeds_note(rows) + dagger_note(rows)
