"""Figure: how attacks transfer between the members of each ensemble, and how far their gradients agree."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from benchmark.report.style import headline, new_figure, percent, wrapped

ACROSS = 4
NOTE = (
    "R@1 in percent, mean over training seeds, of the member in the column on its own, for queries attacked on "
    "the member in the line. The diagonal is a member under its own attack: the further the rest is above it, "
    "the less attacks transfer. cos: mean cosine between the members' input gradients."
)


def transfer_figure(matrix: pd.DataFrame, diversity: pd.DataFrame, datasets: Sequence[str]) -> Figure | None:
    """Draws a transfer matrix for each data set and ensemble, with the cosine of the gradients.

    Args:
        matrix: rows of `diversity.MATRIX_COLUMNS`.
        diversity: rows of `diversity.DIVERSITY_COLUMNS`.
        datasets: the data sets, in the order in which they are shown.

    Returns:
        None without a model of several members.
    """
    ensembles = diversity[diversity["members"] > 1]
    panels = [
        (dataset, defense)
        for dataset in datasets
        for defense in ensembles.loc[ensembles["dataset"] == dataset, "defense"].unique()
    ]
    if not panels:
        return None
    across = min(ACROSS, len(panels))
    down = ceil(len(panels) / across)
    figure = new_figure(max(7.5, 1.0 + 2.3 * across), 1.8 + 2.6 * down)
    grid = figure.subplots(down, across, squeeze=False)
    several = len({dataset for dataset, _ in panels}) > 1
    for axes, (dataset, defense) in zip(grid.flat, panels, strict=False):
        mine = matrix[(matrix["dataset"] == dataset) & (matrix["defense"] == defense)]
        _draw(axes, mine.groupby(["made_on", "tested_on"])["r1"].mean().unstack().to_numpy())
        cosine = _cosine(ensembles, dataset, defense)
        name = f"{dataset}: {defense}" if several else defense
        axes.set_title(f"{wrapped(name)}\ncos {cosine:.2f}", fontsize=9, loc="left")
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for line in grid:
        line[0].set_ylabel("attacked on member", fontsize=8.5)
    for column in range(across):
        lowest = max(i for i in range(column, len(panels), across))
        grid.flat[lowest].set_xlabel("tested on member", fontsize=8.5)
    bar = figure.colorbar(
        ScalarMappable(cmap="cividis"), ax=list(grid.flat), ticks=[0, 0.5, 1], fraction=0.03, pad=0.01
    )
    bar.ax.set_yticklabels(["0 %", "50 %", "100 %"], fontsize=8)
    bar.outline.set_visible(False)
    headline(figure, _title(ensembles, panels), NOTE)
    return figure


def _cosine(ensembles: pd.DataFrame, dataset: str, defense: str) -> float:
    mine = ensembles[(ensembles["dataset"] == dataset) & (ensembles["defense"] == defense)]
    return float(mine["gradient_cosine"].mean())


def _draw(axes: Axes, values: np.ndarray) -> None:
    axes.imshow(values, cmap="cividis", vmin=0, vmax=1)
    for (line, column), value in np.ndenumerate(values):
        ink = "white" if value < 0.45 else "black"
        axes.text(column, line, percent(value), ha="center", va="center", fontsize=9, color=ink)
    axes.set_xticks(range(len(values)), [str(member + 1) for member in range(len(values))], fontsize=8)
    axes.set_yticks(range(len(values)), [str(member + 1) for member in range(len(values))], fontsize=8)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)


def _title(ensembles: pd.DataFrame, panels: Sequence[tuple[str, str]]) -> str:
    """Names the ensembles whose members' gradients agree least and most, on the first data set."""
    dataset = panels[0][0]
    cosines = {defense: _cosine(ensembles, dataset, defense) for name, defense in panels if name == dataset}
    known = sorted((cosine, defense) for defense, cosine in cosines.items() if not np.isnan(cosine))
    if not known:
        return "How attacks transfer between the members of each ensemble"
    (low, least), (high, most) = known[0], known[-1]
    if least == most:
        return f"The members of {least} agree in their gradients by a cosine of {low:.2f}"
    return f"Gradients of {least} agree least (cosine {low:.2f}), those of {most} most ({high:.2f})"
