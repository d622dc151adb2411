"""Figure: one attacked image, the difference, and the nearest neighbors before and after the attack."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.report.style import PALETTE, headline, new_figure

RIGHT, WRONG = (PALETTE[0], "\u2713"), (PALETTE[1], "\u2717")
"""Color and symbol of a neighbor of the query's class, and of another class."""
SIZE = 1.25
"""Inches of an image's side."""
ROUNDING = 1e-3
"""What the factor may be short of a whole number because pixels are rounded."""
GREY_LEVEL = 0.5
"""What no difference is shown as."""


def panel(image: Mapping[str, np.ndarray], title: str) -> Figure:
    """Draws the clean image above the attacked one, their difference, and the neighbors of each beside it.

    Args:
        image: tensors as `attacked_images.read_images` gives them, of one image: without their first axis.
        title: stands above.
    """
    before, after = image["before"], image["after"]
    columns = 2 + len(before)
    figure = new_figure(max(5.0, 0.4 + columns * (SIZE + 0.25)), 2 * (SIZE + 0.3) + 1.0)
    grid = figure.add_gridspec(2, columns)
    label = int(image["label"])
    for line, (name, neighbors) in enumerate((("clean", before), ("attacked", after))):
        when = ("before", "after")[line]
        show(figure.add_subplot(grid[line, 0]), image[name], f"{name}, class {label}")
        for column, (neighbor, found) in enumerate(zip(neighbors, image[f"{when}_labels"], strict=True)):
            axes = figure.add_subplot(grid[line, 2 + column])
            color, symbol = RIGHT if found == label else WRONG
            show(axes, neighbor, f"{symbol} {when} {column + 1}: {found}", color, color)
    difference = image["attacked"].astype(np.float64) - image["clean"]
    factor = amplification(difference)
    shown = np.clip(GREY_LEVEL + factor * difference, 0.0, 1.0)
    show(figure.add_subplot(grid[:, 1]), shown, f"difference \u00d7 {factor}")
    headline(
        figure,
        title,
        f"Neighbors, nearest first, with their class; {RIGHT[1]} blue: the class of the query, "
        f"{WRONG[1]} orange: another.",
    )
    return figure


def amplification(difference: np.ndarray) -> int:
    """The largest whole factor that keeps a difference within what can be shown; 1 where there is none."""
    largest = float(np.abs(difference).max(initial=0.0))
    return max(1, int(GREY_LEVEL / largest + ROUNDING)) if largest > 0 else 1


def show(axes: Axes, image: np.ndarray, title: str, frame: str = "", color: str = "black") -> None:
    """Shows an image.

    Args:
        axes: where.
        image: in [0, 1], shape (C, H, W), C being 1 or 3.
        title: stands above it.
        frame: color of a thick frame; a thin grey one if not given.
        color: of the title.
    """
    pixels = np.clip(np.moveaxis(image, 0, -1), 0.0, 1.0)
    axes.imshow(pixels[..., 0] if pixels.shape[-1] == 1 else pixels, cmap="gray", vmin=0.0, vmax=1.0)
    axes.set_title(title, fontsize=8.5, color=color)
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_color(frame or "#BBBBBB")
        side.set_linewidth(3.0 if frame else 0.8)
