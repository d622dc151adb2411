"""Figure: the worst case of each row against the cost of its training, and which rows no other dominates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from benchmark.report.clean_vs_worst import PANELS
from benchmark.report.label_places import place_labels
from benchmark.report.labels import dagger_note, reliable, row_label, seed_values, seeds_note
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
ROOM = 0.08
"""How much lower than the lowest row the axis ends, in its units, for that row's label."""
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
        axes.set_title(title, fontsize=10.5, loc="left")
        axes.set_xlabel("training cost, a multiple of vanilla training", fontsize=9)
    grid[0].set_ylabel("worst case")
    headline(figure, _title(table, panels[0][0], panels[0][2]), _note(table))
    for axes, (metric, _, rows) in zip(grid, panels, strict=True):
        others = _without_cost(table, metric)
        for row in others:
            axes.axhline(row.mean(f"worst_{metric}"), color=GREY, linestyle=":", linewidth=1.2, zorder=0)
        points = [_point(row, metric) for row in rows]
        points += [(1.05 * axes.get_xlim()[0], row.mean(f"worst_{metric}")) for row in others]
        labels = [*map(row_label, rows), *(f"{row_label(row)}: not trained here" for row in others)]
        place_labels(axes, points, labels, [end for row in rows for end in _ends(row, metric)])
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
    steps = [_point(row, metric) for row in front]
    steps.append((1.6 * max(costs), steps[-1][1]))
    axes.plot(*zip(*steps, strict=True), drawstyle="steps-post", color="#BBBBBB", zorder=1)
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
    axes.set_xlim(0.85 * min(costs), 1.6 * max(costs))
    axes.set_xticks([tick for tick in TICKS if 0.9 * min(costs) <= tick <= 1.2 * max(costs)])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}\u00d7"))
    percent_axis(axes, "y")
    axes.set_ylim(bottom=axes.get_ylim()[0] - ROOM)


def _without_cost(table: Table, metric: str) -> list[Row]:
    """Rows that were not trained here, and are drawn as lines."""
    rows = [row for row in table.rows if row.reference or row.own]
    return [row for row in rows if not isnan(row.mean(f"worst_{metric}"))]


def _point(row: Row, metric: str) -> tuple[float, float]:
    return row.training("relative_cost"), row.mean(f"worst_{metric}")


def _ends(row: Row, metric: str) -> list[tuple[float, float]]:
    """The ends of a row's bar and the middles of its halves, which labels keep off."""
    cost, middle = _point(row, metric)
    known = [value for value in seed_values(row, f"worst_{metric}") if not isnan(value)]
    ends = [min(known), max(known)] if len(known) > 1 else []
    return [(cost, height) for end in ends for height in (end, (end + middle) / 2)]


def _title(table: Table, metric: str, rows: Sequence[Row]) -> str:
    front = pareto_front(reliable(rows), metric)
    name, last = METRICS[metric], front[-1]
    if len(front) == 1:
        return f"{last.name} keeps the most {name} ({_kept(last, metric)}), and no {table.noun} is cheaper"
    before = front[-2]
    return (
        f"{last.name} keeps the most {name}: {_kept(last, metric)} at\u00a0{_multiple(last)} the cost of "
        f"vanilla training; {before.name} keeps {_kept(before, metric)} at\u00a0{_multiple(before)}"
    )


def _kept(row: Row, metric: str) -> str:
    return f"{percent(row.mean(f'worst_{metric}'), 1)} %"


def _multiple(row: Row) -> str:
    return f"{row.training('relative_cost'):.3g}\u00d7"


def _note(table: Table) -> str:
    key = table.key
    rows = [row for row in table.rows if row.training("relative_cost") > 0]
    note = (
        f"{table.trained}; {budget(key.norm, key.eps)}. Filled: on the Pareto front (grey line), by more "
        f"than {100 * GAIN:g} points; hollow: a row that costs no more keeps as much."
    )
    return note + seeds_note(rows) + dagger_note(rows)
