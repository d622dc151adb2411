"""Figure: validation scores of each defense over its training, and the epoch that was kept."""

from __future__ import annotations

from math import ceil, isnan, nan

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from benchmark.records import ModelRecord
from benchmark.report.rows import Row
from benchmark.report.style import LineStyle, headline, new_figure, percent_axis, wrapped
from benchmark.report.tables import Table
from benchmark.report.worst_case import mean

ACROSS = 4
FALL = 0.03
"""mAP@R that must be lost after the kept epoch to be named in the title."""
KINDS = (("clean_map_r", "--", "white"), ("attacked_map_r", "-", ""))


def training_curves(table: Table, styles: dict[str, LineStyle]) -> Figure | None:
    """Draws a panel for each defense of a table; None when no model was validated.

    Thin lines are single seeds, thick ones their mean at the epochs at which all seeds were validated.
    """
    rows = [row for row in table.rows if validated(row)]
    if not rows:
        return None
    across = min(ACROSS, len(rows))
    down = ceil(len(rows) / across)
    width = max(6.2, 1.2 + 2.6 * across)
    figure = new_figure(width, 1.9 + 2.3 * down)
    grid = figure.subplots(down, across, sharey=True, squeeze=False)
    for axes, row in zip(grid.flat, rows, strict=False):
        _draw(axes, row, styles[row.defense])
        axes.set_title(wrapped(row.name), fontsize=9.5, loc="left")
    for axes in grid.flat[len(rows) :]:
        axes.set_axis_off()
    for column in range(across):
        lowest = max(i for i in range(column, len(rows), across))
        grid.flat[lowest].set_xlabel("epoch", fontsize=9)
    for line in grid:
        line[0].set_ylabel("mAP@R, validation", fontsize=9)
    grey = "#444444"
    handles = [
        Line2D([], [], color=grey, linestyle="--", label="clean"),
        Line2D([], [], color=grey, linestyle="-", label="under attack"),
        Line2D([], [], color=grey, marker="o", linestyle="", label="kept epoch"),
    ]
    if len(rows) < grid.size:  # in the place of a missing panel
        grid.flat[len(rows)].legend(handles=handles, loc="upper left", frameon=False, fontsize=9)
    else:
        figure.legend(handles=handles, loc="outside right upper", frameon=False, fontsize=9)
    headline(figure, _title(rows), _note(table, rows))
    return figure


def validated(row: Row) -> list[ModelRecord]:
    """The models of a row that were validated while they trained."""
    return [model for model in row.models if model.status == "done" and model.validations]


def _draw(axes: Axes, row: Row, style: LineStyle) -> None:
    models = validated(row)
    for name, line, fill in KINDS:
        curves = [{result.epoch: getattr(result, name) for result in model.validations} for model in models]
        shared = sorted(set.intersection(*map(set, curves)))
        for curve in curves if len(curves) > 1 else ():
            axes.plot(
                list(curve),
                list(curve.values()),
                line,
                color=style.color,
                linewidth=0.8,
                alpha=0.45,
                zorder=1,
            )
        means = [mean(curve[epoch] for curve in curves) for epoch in shared]
        axes.plot(shared, means, line, color=style.color, linewidth=1.8, zorder=2)
        for model, curve in zip(models, curves, strict=True):
            if model.best_epoch in curve:
                axes.plot(
                    model.best_epoch,
                    curve[model.best_epoch],
                    "o",
                    color=style.color,
                    markerfacecolor=fill or style.color,
                    markersize=6,
                    zorder=3,
                )
    percent_axis(axes, "y")
    axes.set_xlim(0, 1.04 * max(max(model.epochs, model.validations[-1].epoch) for model in models))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.tick_params(labelsize=8.5)


def fall(row: Row) -> float:
    """mAP@R under attack on the validation classes that is lost after the kept epoch, mean over the seeds."""
    return mean(_fall(model) for model in validated(row))


def _fall(model: ModelRecord) -> float:
    attacked = {result.epoch: result.attacked_map_r for result in model.validations}
    return attacked.get(model.best_epoch, nan) - model.validations[-1].attacked_map_r


def _title(rows: list[Row]) -> str:
    falls = {row.name: fall(row) for row in rows}
    falling = sorted(
        (name for name, lost in falls.items() if not isnan(lost) and lost > FALL),
        key=lambda name: (-falls[name], name),
    )
    if not falling:
        return f"No defense loses more than {100 * FALL:.0f} points under attack after its kept epoch"
    whose = " and ".join(falling) if len(falling) < 3 else f"{len(falling)} defenses"
    most = f"{'up to ' if len(falling) > 1 else ''}{100 * falls[falling[0]]:.0f} points"
    return f"Further training would have cost {whose} {most} of mAP@R under attack"


def _note(table: Table, rows: list[Row]) -> str:
    several = any(len(validated(row)) > 1 for row in rows)
    lines = " Thin lines: training seeds; thick: their mean." if several else ""
    return (
        f"{table.trained}. mAP@R on validation classes, which are classes of the training split held out "
        f"of training, never test classes. The weights of the marked epoch are evaluated.{lines}"
    )
