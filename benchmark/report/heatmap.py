"""Figure: the score of each row under each attack."""

from __future__ import annotations

from math import isnan

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from benchmark.report.clean_vs_worst import PANELS
from benchmark.report.style import METRICS, budget, headline, new_figure, wrapped
from benchmark.report.tables import Table

CLEAN_COLUMN, WORST_COLUMN = "clean", "worst case"


def heatmap(table: Table) -> Figure | None:
    """Draws rows against attacks, a panel for each scenario; None when no attack has a metric."""
    panels = []
    for scenario, metric, title in PANELS:
        attacks = [attack for attack in table.attacks if _column(table, scenario, metric, attack)]
        if attacks:
            panels.append((metric, title, attacks, _values(table, scenario, metric, attacks)))
    if not panels:
        return None
    names = {attack: table.names.short(attack) for attack in table.attacks}
    columns = max(len(attacks) for _, _, attacks, _ in panels) + 2
    row_height = 0.36 + 0.12 * max(wrapped(row.name).count("\n") for row in table.rows)
    label_height = 0.3 + 0.55 * max(len(line) for a in names.values() for line in wrapped(a).split("\n")) / 10
    figure = new_figure(
        max(7.0, 3.0 + 0.62 * columns * len(panels)), 1.5 + label_height + row_height * len(table.rows)
    )
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (_, title, attacks, values) in zip(grid, panels, strict=True):
        _draw(axes, values)
        axes.set_title(title, fontsize=10.5, loc="left")
        labels = [CLEAN_COLUMN, *(wrapped(names[attack]) for attack in attacks), WORST_COLUMN]
        axes.set_xticks(range(len(labels)), labels, rotation=90, fontsize=8.5)
        axes.get_xticklabels()[-1].set_fontweight("bold")
    grid[0].set_yticks(range(len(table.rows)), [wrapped(row.name) for row in table.rows], fontsize=9)
    bar = figure.colorbar(
        ScalarMappable(cmap="cividis"), ax=list(grid), ticks=[0, 0.5, 1], fraction=0.03, pad=0.01, aspect=25
    )
    bar.ax.set_yticklabels(["0 %", "50 %", "100 %"], fontsize=8)
    bar.outline.set_visible(False)
    headline(figure, _title(table, panels[0][0], panels[0][2], panels[0][3]), _note(table))
    return figure


def _column(table: Table, scenario: str, metric: str, attack: str) -> list[float]:
    values = [row.standalone(scenario, metric).get(attack, float("nan")) for row in table.rows]
    return [] if all(isnan(value) for value in values) else values


def _values(table: Table, scenario: str, metric: str, attacks: list[str]) -> np.ndarray:
    clean = [row.mean(f"clean_{metric}") for row in table.rows]
    worst = [row.mean(f"worst_{metric}") for row in table.rows]
    alone = [_column(table, scenario, metric, attack) for attack in attacks]
    return np.array([clean, *alone, worst]).T


def _draw(axes: Axes, values: np.ndarray) -> None:
    colors = colormaps["cividis"].with_extremes(bad="#EEEEEE")
    axes.imshow(np.ma.masked_invalid(values), cmap=colors, vmin=0, vmax=1, aspect="auto")
    for (y, x), value in np.ndenumerate(values):
        text = "\u2013" if isnan(value) else f"{100 * value:.0f}"
        ink = "#555555" if isnan(value) else "white" if value < 0.45 else "black"
        axes.text(x, y, text, ha="center", va="center", fontsize=9, color=ink)
    for edge in (0.5, values.shape[1] - 1.5):
        axes.axvline(edge, color="white", linewidth=4)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)


def _title(table: Table, metric: str, attacks: list[str], values: np.ndarray) -> str:
    ranked = np.array([not row.reference for row in table.rows])
    alone = values[ranked, 1:-1]
    alone = alone[~np.isnan(alone).all(axis=1)]
    if len(attacks) < 2 or not len(alone):
        return f"What the attack leaves, in percent ({budget(table.key.norm, table.key.eps)})"
    counts = np.bincount(np.nanargmin(alone, axis=1), minlength=len(attacks))
    winners = [attack for attack, count in zip(attacks, counts, strict=True) if count]
    if len(winners) == 1:
        return f"{table.names.short(winners[0])} alone lowers {METRICS[metric]} most, for every {table.noun}"
    return (
        f"No one attack is strongest: {METRICS[metric]} is lowered most by {len(winners)} different ones, "
        f"depending on the {table.noun}"
    )


def _note(table: Table) -> str:
    key = table.key
    several = ", mean over training seeds" if any(row.n_seeds > 1 for row in table.rows) else ""
    return (
        f"Percent{several}, at {budget(key.norm, key.eps)}; {table.trained}. "
        f"Each column is one attack alone; the last is the leaderboard's worst case.{_left_out(table)}"
    )


def _left_out(table: Table) -> str:
    """Says that attacks on what still stands have no column of R@1, where there are some."""
    some = any(cell.follows_others for row in table.rows for cell in row.cells)
    return " Attacks on only the queries that still stood have none for R@1." if some else ""
