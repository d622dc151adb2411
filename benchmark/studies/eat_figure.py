"""Figure: the worst cases of every row of the ablation, each seed and the mean, beside the controls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from benchmark.report.style import GREY, METRICS, PALETTE, headline, new_figure, wrapped
from benchmark.report.worst_case import mean
from benchmark.studies.eat_table import CONTROL, SINGLE

LINES: dict[str, Literal["-", "--"]] = {CONTROL: "-", SINGLE: "--"}
WORST = ["worst_ami", "worst_r1"]
TITLE = "Worst cases of EAT, one factor at a time, and of its controls"
NOTE = (
    "Small: one training seed, the first above the others; large: the mean over seeds. Vertical lines: the "
    "means of the controls. The axes do not begin at 0."
)
SEED_OFFSET = 0.22
"""Distance of the first and the last seed's points from the height of their row; points do not overlap."""


def eat_figure(models: pd.DataFrame, datasets: Sequence[str]) -> Figure | None:
    """Draws a row of panels for each data set: worst AMI and worst R@1; None without a score.

    Args:
        models: rows of `ablation.COLUMNS`.
        datasets: the data sets, from the top.
    """
    parts = [(name, models[models["dataset"] == name].dropna(subset=WORST, how="all")) for name in datasets]
    shown = [(name, part) for name, part in parts if not part.empty]
    if not shown:
        return None
    heights = [0.75 + 0.36 * part["defense"].nunique() for _, part in shown]
    figure = new_figure(9.4, 1.2 + sum(heights))
    panels = figure.subplots(len(shown), 2, squeeze=False, height_ratios=heights)
    for (name, part), (left, right) in zip(shown, panels, strict=True):
        defenses = list(dict.fromkeys(part["defense"]))[::-1]
        for axes, score in zip((left, right), WORST, strict=True):
            _panel(axes, part, defenses, score)
            title = f"worst {METRICS[score.removeprefix('worst_')]}"
            axes.set_title(f"{name}: {title}" if axes is left else title, fontsize=10.5, loc="left")
        left.set_yticks(range(len(defenses)), [wrapped(defense) for defense in defenses])
        right.set_yticks(range(len(defenses)), [""] * len(defenses))
    rows = {defense for _, part in shown for defense in part["defense"]}
    drawn = {name: line for name, line in LINES.items() if name in rows}
    handles = [Line2D([], [], color="#444444", linestyle=line, label=name) for name, line in drawn.items()]
    corner: Any = {"loc": "lower right", "bbox_to_anchor": (1.02, 0.985), "borderpad": 0.2}
    if handles:
        panels[0, 1].legend(handles=handles, ncols=2, frameon=False, fontsize=9, columnspacing=1.0, **corner)
    headline(figure, TITLE, NOTE)
    return figure


def _panel(axes: Axes, models: pd.DataFrame, defenses: Sequence[str], name: str) -> None:
    seeds = sorted(models["seed"].unique())
    offsets = dict(
        zip(seeds, np.linspace(SEED_OFFSET, -SEED_OFFSET, len(seeds)) * (len(seeds) > 1), strict=True)
    )
    for height, defense in enumerate(defenses):
        mine = models[models["defense"] == defense].dropna(subset=[name])
        values = mine[name].tolist()
        color = GREY if defense in LINES else PALETTE[0]
        axes.plot(
            values,
            [height + offsets[seed] for seed in mine["seed"]],
            "o",
            color=color,
            markersize=3.5,
            alpha=0.6,
            zorder=2,
        )
        if values:
            axes.plot(mean(values), height, "D", color=color, markersize=7, zorder=3)
            if defense in LINES:
                axes.axvline(mean(values), color="#444444", linestyle=LINES[defense], linewidth=1, zorder=1)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    axes.locator_params(axis="x", nbins=6, steps=[1, 2, 5, 10])
    axes.grid(axis="x", color="#E3E3E3", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.margins(x=0.08)
    axes.set_ylim(-0.6, len(defenses) - 0.4)
    axes.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
