"""Figure: how metrics fall as the attacker's budget grows."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import takewhile
from math import inf, isnan

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.report.cell_results import Run
from benchmark.report.clean_vs_worst import PANELS
from benchmark.report.labels import dagger_note, listed, reliable, row_label, seeds_note
from benchmark.report.rows import SAME, Row
from benchmark.report.style import (
    METRICS,
    NORMS,
    UNITS,
    LineStyle,
    budget,
    format_eps,
    headline,
    new_figure,
    percent,
    percent_axis,
    seed_range,
    wrapped,
)
from benchmark.report.tables import Table
from benchmark.report.worst_case import mean

Curve = dict[float, list[float]]
"""A metric of one row at each eps, a value for each seed; eps 0 is clean."""
LETTER = 0.02
"""Width of a letter of a budget's label, as a fraction of the axis."""
CLEARLY = 0.005
"""How much more one row must keep than another to be called the better one."""


@dataclass(frozen=True)
class _Panel:
    """A metric under one attack, with the curve of each row by its defense.

    Attributes:
        in_part: for a budget at which some seeds of a row were attacked and others not, as nothing was left,
            the highest mean over the former; the row has no point there, since that is more than it keeps.
    """

    metric: str
    attack: str
    curves: dict[str, Curve]
    in_part: dict[float, float]


def eps_curves(run: Run, table: Table, styles: dict[str, LineStyle]) -> Figure | None:
    """Draws a panel for each metric, under the attack that lowers it most of those with the most budgets.

    Returns:
        None when no attack has two budgets.
    """
    panels = []
    for scenario, metric, _ in PANELS:
        found, parts = _curves(run, table, scenario, metric)
        if found:
            attack = _strongest(found, table)
            panels.append(_Panel(metric, attack, found[attack], parts[attack]))
    if not panels:
        return None
    figure = new_figure(2.6 + 4.2 * len(panels), 5.0)
    grid = figure.subplots(1, len(panels), squeeze=False, sharex=True)[0]
    named: dict[str, Artist] = {}
    for axes, panel in zip(grid, panels, strict=True):
        _draw(axes, panel.curves, table, styles)
        name = wrapped(table.names.short(panel.attack), 40)
        axes.set_title(f"{METRICS[panel.metric]} under\n{name}", fontsize=9.5, loc="left")
        norm = table.key.norm
        axes.set_xlabel(f"{NORMS.get(norm, norm)} budget eps{UNITS.get(norm, '')}", fontsize=9)
        handles, labels = axes.get_legend_handles_labels()
        named |= dict(zip(labels, handles, strict=True))
    rows = [row for row in table.rows if row.defense in named]
    grid[-1].legend(
        [named[row.defense] for row in rows],
        [row_label(row) for row in rows],
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        frameon=False,
        fontsize=9,
    )
    headline(
        figure,
        f"{_title(table, panels[0])}, under one attack",
        _note(table, rows) + _ends(table) + dagger_note(rows),
    )
    return figure


def _strongest(found: dict[str, dict[str, Curve]], table: Table) -> str:
    """The attack that leaves the least at the table's budget, of those with the most budgets.

    Compared is the mean over the rows that all of these attacked.
    """
    most = max(len(_budgets(curves)) for curves in found.values())
    rivals = {attack: curves for attack, curves in found.items() if len(_budgets(curves)) == most}
    left = {attack: _left(curves, table.key.eps) for attack, curves in rivals.items()}
    shared = set.intersection(*(set(values) for values in left.values()))

    def order(attack: str) -> tuple[float, str]:
        value = mean(left[attack][defense] for defense in sorted(shared))
        return (2.0 if isnan(value) else value), table.names.short(attack)

    return min(rivals, key=order)


def _left(curves: dict[str, Curve], budget: float) -> dict[str, float]:
    """The seed mean of each row at a budget, by its defense; without rows that were not attacked there."""
    return {
        defense: mean(values)
        for defense, curve in curves.items()
        for eps, values in curve.items()
        if abs(eps - budget) < SAME
    }


def _budgets(curves: dict[str, Curve]) -> set[float]:
    return {eps for curve in curves.values() for eps in curve}


def _curves(
    run: Run, table: Table, scenario: str, metric: str
) -> tuple[dict[str, dict[str, Curve]], dict[str, dict[float, float]]]:
    """For each attack with at least two budgets, each row's metric by eps.

    Returns:
        The curves; and for each attack what `_Panel.in_part` says.
    """
    found: dict[str, dict[str, Curve]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    left_out: set[tuple[str, str, float]] = set()
    clean: dict[str, list[float]] = defaultdict(list)
    key = table.key
    for cell in run.table_cells:
        value = cell.metric(metric)
        trained = cell.key.dataset, cell.key.backbone, cell.key.loss, cell.compute
        same = trained == (key.dataset, key.backbone, key.loss, key.compute)
        if not same or cell.key.scenario != scenario:
            continue
        if cell.record and cell.record.attacked_queries == 0 and cell.key.norm == key.norm:
            left_out.add((cell.key.attack, cell.key.defense, cell.key.eps))
        if isnan(value) or cell.follows_others:
            continue
        if cell.ref.role == "clean":
            clean[cell.key.defense].append(value)
        elif cell.key.norm == key.norm:
            found[cell.key.attack][cell.key.defense][cell.key.eps].append(value)
    in_part: dict[str, dict[float, float]] = defaultdict(dict)
    for attack, defense, eps in left_out:
        if values := found[attack][defense].pop(eps, []):
            in_part[attack][eps] = max(mean(values), in_part[attack].get(eps, -inf))
    kept = {}
    for attack, every in found.items():
        curves = {defense: curve for defense, curve in every.items() if curve}
        if len(_budgets(curves)) >= 2:
            kept[attack] = {
                name: ({0.0: clean[name]} if clean[name] else {}) | dict(sorted(curve.items()))
                for name, curve in curves.items()
            }
    return kept, in_part


def _draw(axes: Axes, curves: dict[str, Curve], table: Table, styles: dict[str, LineStyle]) -> None:
    axes.axvline(table.key.eps, color="#BBBBBB", linewidth=5, alpha=0.5, zorder=0)
    for row in table.rows:
        curve = curves.get(row.defense)
        if not curve:
            continue
        style = styles[row.defense]
        bars = [seed_range(values) or [[0.0], [0.0]] for values in curve.values()]
        below, above = ([bar[side][0] for bar in bars] for side in (0, 1))
        axes.errorbar(
            list(curve),
            [mean(values) for values in curve.values()],
            yerr=[below, above] if any(below + above) else None,
            color=style.color,
            marker=style.marker,
            linestyle=style.line,
            linewidth=1.6,
            markersize=5,
            capsize=2,
            label=row.defense,
        )
    _label_budgets(axes, sorted(_budgets(curves)), table.key.eps)
    percent_axis(axes, "y")
    top, (left, right) = axes.get_ylim()[1], axes.get_xlim()
    side = "left" if table.key.eps < (left + right) / 2 else "right"  # of the bar where the panel has room
    axes.text(table.key.eps, top, " leaderboard ", fontsize=8, color="#666666", va="top", ha=side)


def _label_budgets(axes: Axes, ticks: list[float], headline_eps: float) -> None:
    """Labels the headline budget, the largest, and the others that are not too close to a labeled one."""
    longest = max(len(format_eps(eps)) for eps in ticks)
    apart = (ticks[-1] - ticks[0]) * max(0.1, LETTER * longest)
    labeled = [headline_eps]
    for eps in (ticks[-1], *ticks):
        if all(abs(eps - other) >= apart for other in labeled):
            labeled.append(eps)
    axes.set_xticks(ticks, [format_eps(eps) if eps in labeled else "" for eps in ticks], fontsize=8.5)


def _title(table: Table, panel: _Panel) -> str:
    """Says which row keeps the most at each budget, in one clause for each that leads."""
    rows = reliable([row for row in table.rows if panel.curves.get(row.defense)])
    name = METRICS[panel.metric]
    if not rows:
        return f"{name} over the attacker's budget"
    every = sorted(_budgets(panel.curves) - {0.0})
    # Up to where a row without a point may be the best; and where no row keeps anything, none leads.
    known = takewhile(
        lambda eps: panel.in_part.get(eps, -inf) <= _most(rows, panel.curves, eps) - CLEARLY, every
    )
    told = list(known)
    budgets = [eps for eps in told if _most(rows, panel.curves, eps) > CLEARLY] or told
    if not budgets:
        return f"{name} over the attacker's budget"
    if len(rows) == 1:
        value = _mean_at(panel.curves[rows[0].defense], budgets[-1])
        return f"{rows[0].name} keeps {percent(value)} % {name} at {budget(table.key.norm, budgets[-1])}"
    leaders = [_leaders(rows, panel.curves, eps) for eps in budgets]
    final, last = leaders[-1], budgets[-1]
    where = budget(table.key.norm, last)
    if always := [row for row in rows if all(row in found for found in leaders)]:
        kept = percent(max(_mean_at(panel.curves[row.defense], last) for row in always))
        verb = "keeps" if len(always) == 1 else "keep"
        there = (
            f", and {kept} % at the largest ({where})"
            if last == every[-1]
            else f" up to {where}, and {kept} % there"
        )
        return f"{_names(always, table)} {verb} the most {name} at every budget{there}"
    if unbeaten := [row for row in rows if not any(_is_beaten(row, rows, panel.curves, e) for e in budgets)]:
        best = max(unbeaten, key=lambda row: _mean_at(panel.curves[row.defense], table.key.eps))
        kept = percent(_mean_at(panel.curves[best.defense], last))
        return (
            f"At no budget up to {where} does another {table.noun} clearly keep more {name} than "
            f"{best.name}, {kept} % there"
        )
    if final == leaders[0]:
        last, final = next(pair for pair in zip(budgets, leaders, strict=True) if pair[1] != final)
    return (
        f"Which {table.noun} keeps the most {name} depends on the budget: {_names(leaders[0], table)} at "
        f"{budget(table.key.norm, budgets[0])}, {_names(final, table)} at {budget(table.key.norm, last)}"
    )


def _names(rows: list[Row], table: Table) -> str:
    return listed([row.name for row in rows], table.noun)


def _most(rows: list[Row], curves: dict[str, Curve], eps: float) -> float:
    return max(_mean_at(curves[row.defense], eps) for row in rows)


def _leaders(rows: list[Row], curves: dict[str, Curve], eps: float) -> list[Row]:
    """The rows that keep the most at a budget, with those that keep as good as that."""
    most = _most(rows, curves, eps)
    return [row for row in rows if _mean_at(curves[row.defense], eps) >= most - CLEARLY]


def _is_beaten(row: Row, rows: list[Row], curves: dict[str, Curve], eps: float) -> bool:
    """Whether a row keeps clearly more than this one at a budget: with each of its seeds than with each."""
    mine, seeds = _mean_at(curves[row.defense], eps), curves[row.defense].get(eps, [-inf])
    return any(
        _mean_at(curves[other.defense], eps) > mine + CLEARLY and min(curves[other.defense][eps]) > max(seeds)
        for other in rows
    )


def _mean_at(curve: Curve, eps: float) -> float:
    """The seed mean at a budget; minus infinity where the row was not attacked, as nothing was left."""
    return mean(curve[eps]) if eps in curve else -inf


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
        "of a seed at or below chance."
    )


def _note(table: Table, rows: list[Row]) -> str:
    return (
        f"{table.trained}. Each metric under the one attack, of those over several budgets, that lowers it "
        f"most on average; eps 0 is clean; the grey bar marks the leaderboard's budget.{seeds_note(rows)}"
    )
