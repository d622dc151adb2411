"""Figure: how metrics fall as the attacker's budget grows."""

from __future__ import annotations

from collections import defaultdict
from itertools import product
from math import isnan

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.report.cell_results import Run
from benchmark.report.clean_vs_worst import PANELS
from benchmark.report.style import (
    METRICS,
    NORMS,
    UNITS,
    LineStyle,
    format_eps,
    headline,
    new_figure,
    percent_axis,
    wrapped,
)
from benchmark.report.tables import Table
from benchmark.report.worst_case import deviation, mean

Curve = dict[float, list[float]]
"""A metric of one row at each eps, a value for each seed."""


def eps_curves(run: Run, table: Table, styles: dict[str, LineStyle]) -> Figure | None:
    """Draws one panel for each attack and metric that has at least two budgets; None when there is none."""
    panels = {
        (metric, attack): curves
        for scenario, metric, _ in PANELS
        for attack, curves in _curves(run, table, scenario, metric).items()
    }
    if not panels:
        return None
    metrics = [metric for _, metric, _ in PANELS if any(key[0] == metric for key in panels)]
    attacks = sorted({attack for _, attack in panels})
    down, across = (len(metrics), len(attacks)) if len(attacks) > 1 else (1, len(metrics))
    figure = new_figure(2.6 + 3.7 * across, 1.9 + 2.7 * down)
    grid = figure.subplots(down, across, squeeze=False, sharex=True)
    for axes, (metric, attack) in zip(grid.flat, product(metrics, attacks), strict=True):
        if (metric, attack) not in panels:
            axes.set_visible(False)
            continue
        _draw(axes, panels[metric, attack], table, styles)
        axes.set_title(wrapped(table.names.short(attack), 40), fontsize=9.5, loc="left")
        axes.set_ylabel(METRICS[metric])
    for axes in grid[-1]:
        norm = table.key.norm
        axes.set_xlabel(f"{NORMS.get(norm, norm)} budget eps{UNITS.get(norm, '')}", fontsize=9)
    named: dict[str, Artist] = {}
    for axes in grid.flat:
        handles, labels = axes.get_legend_handles_labels()
        named |= dict(zip(labels, handles, strict=True))
    order = [row.defense for row in table.rows if row.defense in named]
    figure.legend(
        [named[name] for name in order],
        [wrapped(table.names.short(name)) for name in order],
        loc="outside right center",
        frameon=False,
        fontsize=9,
    )
    headline(figure, _title(table, panels), _note(table, panels) + _ends(table))
    return figure


def _curves(run: Run, table: Table, scenario: str, metric: str) -> dict[str, dict[str, Curve]]:
    """For each attack with at least two budgets, each row's metric by eps."""
    found: dict[str, dict[str, Curve]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    clean: dict[str, list[float]] = defaultdict(list)
    key = table.key
    for cell in run.table_cells:
        value = cell.metric(metric)
        trained = cell.key.dataset, cell.key.backbone, cell.key.loss, cell.compute
        same = trained == (key.dataset, key.backbone, key.loss, key.compute)
        if not same or cell.key.scenario != scenario or isnan(value) or cell.follows_others:
            continue
        if cell.ref.role == "clean":
            clean[cell.key.defense].append(value)
        elif cell.key.norm == key.norm:
            found[cell.key.attack][cell.key.defense][cell.key.eps].append(value)
    kept = {}
    for attack, curves in found.items():
        if len({eps for curve in curves.values() for eps in curve}) >= 2:
            kept[attack] = {
                name: ({0.0: clean[name]} if clean[name] else {}) | dict(sorted(curve.items()))
                for name, curve in curves.items()
            }
    return kept


def _draw(axes: Axes, curves: dict[str, Curve], table: Table, styles: dict[str, LineStyle]) -> None:
    axes.axvline(table.key.eps, color="#BBBBBB", linewidth=1, zorder=0)
    for row in table.rows:
        curve = curves.get(row.defense)
        if not curve:
            continue
        style = styles[row.defense]
        deviations = [deviation(values) for values in curve.values()]
        axes.errorbar(
            list(curve),
            [mean(values) for values in curve.values()],
            yerr=None if all(map(isnan, deviations)) else np.nan_to_num(deviations),
            color=style.color,
            marker=style.marker,
            linestyle=style.line,
            linewidth=1.6,
            markersize=5,
            capsize=2,
            label=row.defense,
        )
    _label_budgets(axes, sorted({eps for curve in curves.values() for eps in curve}), table.key.eps)
    percent_axis(axes, "y")


def _label_budgets(axes: Axes, ticks: list[float], headline_eps: float) -> None:
    """Labels the headline budget, the largest, and the others that are not too close to a labeled one."""
    apart = 0.11 * (ticks[-1] - ticks[0])
    labeled = [headline_eps]
    for eps in (ticks[-1], *ticks):
        if all(abs(eps - other) >= apart for other in labeled):
            labeled.append(eps)
    axes.set_xticks(ticks, [format_eps(eps) if eps in labeled else "" for eps in ticks], fontsize=8.5)


def _title(table: Table, panels: dict[tuple[str, str], dict[str, Curve]]) -> str:
    rising = {
        (METRICS[metric], table.names.short(name))
        for (metric, _), curves in panels.items()
        for name, curve in curves.items()
        if _rises(curve)
    }
    if not rising:
        return "Metrics fall as the budget grows; none rises again by more than 3 points"
    metrics, names = sorted({metric for metric, _ in rising}), sorted({name for _, name in rising})
    whose = " and ".join(names) if len(names) <= 3 else f"{len(names)} {table.noun}s"
    return f"A larger budget does not always hurt more: {' and '.join(metrics)} of {whose} rises again"


def _rises(curve: Curve) -> bool:
    """Whether the metric is clearly higher at some budget than at a smaller one."""
    means = [mean(values) for _, values in sorted(curve.items())]
    return any(later > sooner + 0.03 for i, sooner in enumerate(means) for later in means[i + 1 :])


def _ends(table: Table) -> str:
    """Says why curves end, where attacks were left out."""
    left_out = any(
        cell.done and cell.ref.role == "curve" and cell.record and cell.record.attacked_queries == 0
        for row in table.rows
        for cell in row.cells
    )
    if not left_out:
        return ""
    return (
        " A curve ends where the suite, at the leaderboard's budget, left R@1 (for attacks on the pool: AMI) "
        "at or below chance."
    )


def _note(table: Table, panels: dict[tuple[str, str], dict[str, Curve]]) -> str:
    several_seeds = any(
        len(v) > 1 for curves in panels.values() for curve in curves.values() for v in curve.values()
    )
    bars = " Bars: standard deviation over training seeds." if several_seeds else ""
    return (
        f"{table.trained}. Each panel is one attack alone; eps 0 is clean; the "
        f"grey line marks the leaderboard's budget.{bars}"
    )
