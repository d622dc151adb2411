"""Figure: the score of each row on clean images and in the worst case."""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING, Any

from benchmark.report.boards import MARK
from benchmark.report.cell_results import CLUSTERING, RETRIEVAL
from benchmark.report.labels import dagger_note, row_label, seed_values, seeds_note
from benchmark.report.rows import Row
from benchmark.report.standing import Standing, behind
from benchmark.report.style import (
    LineStyle,
    headline,
    new_figure,
    percent,
    percent_axis,
    seed_range,
)
from benchmark.report.tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = ((CLUSTERING, "ami", "Clustering of the pool: AMI"), (RETRIEVAL, "r1", "Retrieval: R@1"))
CLOSE = 0.09


def clean_vs_worst(table: Table, styles: dict[str, LineStyle]) -> Figure | None:
    """Draws clean and worst-case metrics per row, one panel for each scenario; None without metrics."""
    from matplotlib.lines import Line2D

    panels = [panel for panel in PANELS if _shown(table, panel[1])]
    if not panels:
        return None
    rows = table.rows[::-1]
    labels = [row_label(row) for row in rows]
    lines = sum(label.count("\n") + 1 for label in labels)
    figure = new_figure(1.9 + 4.3 * len(panels), 2.1 + 0.2 * len(rows) + 0.24 * lines)
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (_, metric, title) in zip(grid, panels, strict=True):
        for height, row in enumerate(rows):
            _dumbbell(axes, height, row, metric, styles[row.defense])
        percent_axis(axes, "x")
        axes.set_title(title, fontsize=10.5, loc="left")
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(-0.6, len(rows) - 0.35)
    grid[0].set_yticks(range(len(rows)), labels)
    handles = [
        Line2D([], [], color="#444444", marker="o", linestyle="", fillstyle="none", label="clean"),
        Line2D([], [], color="#444444", marker="o", linestyle="", label="worst case"),
    ]
    corner: Any = {"loc": "lower right", "bbox_to_anchor": (1.02, 0.985), "borderpad": 0.2}
    grid[-1].legend(handles=handles, ncols=2, frameon=False, fontsize=9, columnspacing=1.0, **corner)
    headline(figure, summary(table), _note(table))
    return figure


def _shown(table: Table, metric: str) -> bool:
    return any(not isnan(row.mean(f"{kind}_{metric}")) for row in table.rows for kind in ("clean", "worst"))


def _dumbbell(axes: Axes, height: int, row: Row, metric: str, style: LineStyle) -> None:
    clean, worst = row.mean(f"clean_{metric}"), row.mean(f"worst_{metric}")
    if isnan(clean) and isnan(worst):
        axes.text(
            0.0, height, "not run or failed", va="center", fontsize=8.5, color="#777777", style="italic"
        )
        return
    axes.plot([clean, worst], [height, height], color=style.color, linewidth=2.5, alpha=0.35, zorder=1)
    close = abs(clean - worst) < CLOSE
    for kind, value, side in (("clean", clean, "left"), ("worst", worst, "right")):
        if isnan(value):
            continue
        bar = seed_range(seed_values(row, f"{kind}_{metric}"))
        if bar is not None:
            axes.errorbar(value, height, xerr=bar, color=style.color, capsize=3, linewidth=1.2, zorder=2)
        filled = style.color if kind == "worst" else "white"
        mark: Any = {"color": style.color, "marker": style.marker, "markerfacecolor": filled, "markersize": 8}
        axes.plot(value, height, linestyle="", zorder=3, **mark)
        # Labels of points that nearly coincide go to either side, so that they do not overlap.
        shift, align = ((3 if side == "left" else -3), side) if close else (0, "center")
        label = percent(value, 1)
        axes.annotate(label, (value, height), (shift, 7), textcoords="offset points", ha=align, fontsize=8.5)


def summary(table: Table) -> str:
    """Sums up a table in one sentence, without the full stop: that of the conclusion, in one metric."""
    standing = Standing.of(table)
    said = standing.say(_name, lambda row: _kept(row, standing))
    if len(standing.best) != 1 or len(standing.ranked) == 1:
        return said
    first, second = standing.ranked[:2]
    if first.tier < second.tier:
        return f"{said}, ahead of {_name(second)}, which {behind(second)}"
    last = [row for row in standing.ranked if row.tier == first.tier][-1]
    return f"{said}; {_name(last)} keeps {_kept(last, standing, name=False)}"


def _name(row: Row) -> str:
    return f"{row.name} {MARK}" if row.failing else row.name


def _kept(row: Row, standing: Standing, name: bool = True) -> str:
    """What a row keeps of the first metric that it has, as in "70.1 % AMI"."""
    values = [(row.mean(f"worst_{metric}"), said) for metric, said in standing.metrics]
    worst, said = next((worst, said) for worst, said in values if not isnan(worst))
    return f"{percent(worst, 1)} % {said}" if name else f"{percent(worst, 1)} %"


def _note(table: Table) -> str:
    parts = [f"{table.trained}."]
    if table.has(CLUSTERING):
        parts.append("AMI's worst case: the lowest of all attacks at this or a smaller budget.")
    if table.has(RETRIEVAL):
        parts.append("R@1's: each query under the attack that is worst for it.")
    return " ".join(parts) + seeds_note(table.rows) + dagger_note(table.rows)
