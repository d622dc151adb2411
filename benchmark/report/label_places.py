"""Places the labels of points in a plot so that they cover neither points nor each other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
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
LINE = 1.3
"""The height of a line of text, in units of its size."""


def place_labels(
    axes: Axes,
    points: Sequence[tuple[float, float]],
    labels: Sequence[str],
    avoid: Sequence[tuple[float, float]] = (),
    size: float = 8.5,
) -> None:
    """Writes a label beside each point, in the first place that is free; with a line where it stands far off.

    Points that stand closer above each other than lines of text share one label, from top to bottom.

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
    for group in _stacks(centers[: len(points)], MARK * scale, LINE * size * scale):
        index = min(group, key=lambda i: np.hypot(*(centers[i] - centers[group].mean(axis=0))))
        best = None
        for x, y in PLACES:
            side = "left" if x > 0 else "right" if x < 0 else "center"
            level = "center" if x else "bottom" if y > 0 else "top"
            text = axes.annotate(
                "\n".join(labels[i] for i in group),
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
            others, strangers = (np.delete(centers, near, axis=0) for near in (index, group))
            covered = _covered(box, taken, others, area, MARK * scale)
            line = centers[index] + np.linspace(0, STEP * scale, 20)[:, None] * np.array([x, y])
            covered += (2 * MARK * scale) ** 2 * _crossed(line, strangers, taken, MARK * scale)
            if max(abs(x), abs(y)) <= 1 and _distance(box, strangers) < _distance(box, centers[group]):
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


def _stacks(centers: np.ndarray, width: float, height: float) -> list[list[int]]:
    """Groups points that stand above each other, from top to bottom; the groups from left to right."""
    groups: list[list[int]] = []
    for index in sorted(range(len(centers)), key=lambda i: -centers[i][1]):
        away = np.abs(centers - centers[index])
        near = [group for group in groups if ((away[group] < [width, height]).all(axis=1)).any()]
        groups = [group for group in groups if group not in near] + [[*chain.from_iterable(near), index]]
    groups = [sorted(group, key=lambda i: -centers[i][1]) for group in groups]
    return sorted(groups, key=lambda group: (centers[group][:, 0].min(), -centers[group[0]][1]))


def _distance(box: Bbox, points: np.ndarray) -> float:
    """Distance of a box to the nearest of some points, in pixels; infinite without points."""
    outside = np.maximum(0.0, np.maximum([box.x0, box.y0] - points, points - [box.x1, box.y1]))
    return float(np.hypot(*outside.T).min(initial=float("inf")))


def _crossed(line: np.ndarray, points: np.ndarray, taken: Sequence[Bbox], near: float) -> int:
    """How many points a line, given as points along it, comes near to, and how many labels it crosses."""
    away = np.hypot(*(line[:, None] - points).transpose(2, 0, 1))
    return int((away < near).any(axis=0).sum()) + sum(box.count_contains(line) > 0 for box in taken)


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
