from itertools import combinations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text

from benchmark.report.label_places import place_labels


def test_labels_of_close_points_do_not_overlap():
    figure = Figure(figsize=(6, 4))
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    points = [(0.5, 0.5), (0.5, 0.51), (0.52, 0.5), (0.95, 0.5)]
    place_labels(axes, points, ["one", "another", "a third", "at the edge"])
    boxes = [Text.get_window_extent(text) for text in axes.texts]
    assert [text.get_text() for text in axes.texts] != [] and len(boxes) == 4
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    area = axes.get_window_extent()
    assert all(box.x1 <= area.x1 for box in boxes)


def test_a_label_nearer_to_another_point_has_a_line_to_its_own():
    figure = Figure(figsize=(6, 4))
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    points = [(0.1, 0.3), (0.1, 0.298), (0.1, 0.27)]  # the middle one finds the place beside the lowest free
    place_labels(axes, points, ["highest", "middle", "lowest"])
    at = axes.transData.transform(points)
    for text in axes.texts:
        box, own = Text.get_window_extent(text), ["highest", "middle", "lowest"].index(text.get_text())
        beyond = np.maximum(0, np.maximum([box.x0, box.y0] - at, at - [box.x1, box.y1]))
        away = np.hypot(*beyond.T)
        assert text.arrow_patch is not None or away[own] == away.min()
