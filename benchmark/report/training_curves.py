"""Figure: validation scores of each defense over its training, and the epoch that was kept."""

from __future__ import annotations

from math import isnan
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from benchmark.records import ModelRecord
from benchmark.report.labels import dagger_note, listed, row_label
from benchmark.report.rows import Row
from benchmark.report.style import LineStyle, headline, new_figure, percent, percent_axis
from benchmark.report.tables import Table
from benchmark.report.worst_case import mean

FALL = 0.03
"""mAP@R that must be lost after the peak to be named in the title."""


def training_curves(table: Table, styles: dict[str, LineStyle]) -> Figure | None:
    """Draws mAP@R under attack of every trained row over its epochs; None when no model was validated.

    A line is the mean over seeds, at the epochs at which all were validated.
    """
    rows = [row for row in table.rows if validated(row)]
    if not rows:
        return None
    figure = new_figure(8.6, max(4.6, 1.6 + 0.24 * len(rows)))
    axes = figure.subplots()
    for row in rows:
        _draw(axes, row, styles[row.defense])
    percent_axis(axes, "y")
    last = max(max(model.epochs, model.validations[-1].epoch) for row in rows for model in validated(row))
    axes.set_xlim(0, 1.03 * last)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.set_xlabel("epoch", fontsize=9)
    axes.set_ylabel("mAP@R under attack, validation classes", fontsize=9)
    final = {row.defense: _final(row) for row in rows}
    handles = [_handle(row, styles[row.defense]) for row in sorted(rows, key=lambda row: -final[row.defense])]
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize=9)
    headline(figure, _title(rows), _note(table, rows))
    return figure


def validated(row: Row) -> list[ModelRecord]:
    """The models of a row that were validated while they trained."""
    return [model for model in row.models if model.status == "done" and model.validations]


def _draw(axes: Axes, row: Row, style: LineStyle) -> None:
    models = validated(row)
    curves = [_attacked(model) for model in models]
    shared = sorted(set.intersection(*map(set, curves)))
    means = {epoch: mean(curve[epoch] for curve in curves) for epoch in shared}
    axes.plot(list(means), list(means.values()), style.line, color=style.color, linewidth=1.8, zorder=2)
    for model, curve in zip(models, curves, strict=True):
        if model.best_epoch in curve:
            height = curve[model.best_epoch]
            axes.plot(
                model.best_epoch,
                height,
                style.marker,
                color=style.color,
                markeredgecolor="white",
                markeredgewidth=0.8,
                markersize=9,
                zorder=3,
            )


def _handle(row: Row, style: LineStyle) -> Line2D:
    look: Any = {"color": style.color, "linestyle": style.line, "marker": style.marker}
    return Line2D([], [], label=row_label(row), **look)


def _attacked(model: ModelRecord) -> dict[int, float]:
    return {result.epoch: result.attacked_map_r for result in model.validations}


def _final(row: Row) -> float:
    return mean(model.validations[-1].attacked_map_r for model in validated(row))


def fall(row: Row) -> float:
    """mAP@R under attack that is lost from the epoch with the most to the last, mean over the seeds."""
    return mean(
        max(_attacked(model).values()) - model.validations[-1].attacked_map_r for model in validated(row)
    )


def _title(rows: list[Row]) -> str:
    falls = {row.name: fall(row) for row in rows}
    falling = sorted(
        (name for name, lost in falls.items() if not isnan(lost) and lost > FALL),
        key=lambda name: (-falls[name], name),
    )
    if not falling:
        return f"No row loses more than {100 * FALL:.0f} points of mAP@R under attack by training on"
    verb = "loses" if len(falling) == 1 else "lose"
    most = f"{'up to ' if len(falling) > 1 else ''}{percent(falls[falling[0]])} points"
    who = listed(falling, "row")
    return f"{who} {verb} {most} of mAP@R under attack by training on after the peak"


def _note(table: Table, rows: list[Row]) -> str:
    several = any(len(validated(row)) > 1 for row in rows)
    lines = " Lines: means over training seeds; each seed has its mark." if several else ""
    return (
        f"{table.trained}. Validation classes are classes of the training split held out of training, never "
        f"test classes. Marks: the epoch whose weights are evaluated, of the best mean of clean and attacked "
        f"mAP@R.{lines}{dagger_note(rows)}"
    )
