"""Places the labels of points in a plot so that they cover neither points nor each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.text import Text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

PLACES = tuple(
    (distance * x, distance * y)
    for distance in (1.0, 2.0, 3.0, 4.5)
    for x, y in ((1, 0.6), (1, -0.6), (-1, 0.6), (-1, -0.6), (0, 1), (0, -1))
)
"""Directions from a point in which its label may stand, in the order of preference."""
STEP = 8.0
"""Points (1/72 inch) between a point and its label."""
MARK = 6.0
"""Points (1/72 inch) around a point that labels keep off."""


def place_labels(
    axes: Axes,
    points: Sequence[tuple[float, float]],
    labels: Sequence[str],
    avoid: Sequence[tuple[float, float]] = (),
    size: float = 8.5,
) -> None:
    """Writes a label beside each point, in the first place that is free; with a line where it stands far off.

    Args:
        axes: with their final limits; the figure's layout is computed.
        points: in data coordinates.
        labels: one for each.
        avoid: further points that labels keep off.
        size: of the text.
    """
    figure = axes.get_figure(root=True)
    if figure is None:
        return
    figure.draw_without_rendering()  # the layout decides where points are
    scale = figure.dpi / 72
    centers = axes.transData.transform(np.array([*points, *avoid]))
    area = axes.get_window_extent()
    taken: list[Bbox] = []
    for index in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        best = None
        for x, y in PLACES:
            side = "left" if x > 0 else "right" if x < 0 else "center"
            level = "center" if x else "bottom" if y > 0 else "top"
            text = axes.annotate(
                labels[index],
                points[index],
                (STEP * x, STEP * y),
                textcoords="offset points",
                ha=side,
                va=level,
                fontsize=size,
                linespacing=1.0,
                zorder=4,
                arrowprops={"arrowstyle": "-", "color": "#999999", "linewidth": 0.6, "shrinkB": 4}
                if max(abs(x), abs(y)) > 1
                else None,
            )
            text.get_window_extent()  # moves the text to its place; with the line, so not its own extent
            box = Text.get_window_extent(text)
            others = np.delete(centers, index, axis=0)
            covered = _covered(box, taken, others, area, MARK * scale)
            if max(abs(x), abs(y)) <= 1 and _distance(box, others) < _distance(box, centers[[index]]):
                covered += 16 * (MARK * scale) ** 2  # a reader would take it for the label of another
            if best is None or covered < best[0] - 1e-6:
                if best is not None:
                    best[1].remove()
                best = (covered, text, box)
            else:
                text.remove()
            if best[0] == 0:
                break
        if best is not None:
            taken.append(best[2])


def _distance(box: Bbox, points: np.ndarray) -> float:
    """Distance of a box to the nearest of some points, in pixels; infinite without points."""
    outside = np.maximum(0.0, np.maximum([box.x0, box.y0] - points, points - [box.x1, box.y1]))
    return float(np.hypot(*outside.T).min(initial=float("inf")))


def _covered(box: Bbox, taken: Sequence[Bbox], others: np.ndarray, area: Bbox, mark: float) -> float:
    """How much a label would cover, in pixels: of other labels, points, and beyond the axes."""
    covered = 4.0 * sum(
        max(0.0, min(box.x1, other.x1) - max(box.x0, other.x0))
        * max(0.0, min(box.y1, other.y1) - max(box.y0, other.y0))
        for other in taken
    )
    for x, y in others:
        if box.x0 - mark < x < box.x1 + mark and box.y0 - mark < y < box.y1 + mark:
            covered += 4 * mark * mark
    outside = max(0.0, box.x1 - area.x1) + max(0.0, area.x0 - box.x0)
    outside += max(0.0, area.y0 - box.y0) + max(0.0, box.y1 - area.y1)
    return covered + 20.0 * outside
