from itertools import combinations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text

from benchmark.report.label_places import place_labels


def test_labels_of_close_points_do_not_overlap():
    figure = Figure(figsize=(6, 4))
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    points = [(0.5, 0.5), (0.5, 0.56), (0.54, 0.5), (0.95, 0.5)]
    names = ["one", "another", "a third", "at the edge"]
    place_labels(axes, points, names)
    boxes = [Text.get_window_extent(text) for text in axes.texts]
    assert {text.get_text() for text in axes.texts} == set(names)
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    area = axes.get_window_extent()
    assert all(box.x1 <= area.x1 for box in boxes)


def test_a_label_nearer_to_another_point_has_a_line_to_its_own():
    figure = Figure(figsize=(6, 4))
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    names = ["point 0", "point 1", "point 2", "point 3"]
    points = [(0.48, 0.45), (0.4, 0.4), (0.5, 0.58), (0.47, 0.55)]
    place_labels(axes, points, names)
    at = axes.transData.transform(points)
    assert len(axes.texts) == len(names)
    for text in axes.texts:
        box, own = Text.get_window_extent(text), names.index(text.get_text())
        beyond = np.maximum(0, np.maximum([box.x0, box.y0] - at, at - [box.x1, box.y1]))
        away = np.hypot(*beyond.T)
        assert text.arrow_patch is not None or away[own] == away.min()


def test_points_nearer_than_lines_of_text_share_a_label_from_top_to_bottom():
    figure = Figure(figsize=(6, 4))
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    points = [(0.1, 0.30), (0.1, 0.32), (0.1, 0.29), (0.8, 0.30)]
    place_labels(axes, points, ["second", "first", "third", "apart"])
    assert [text.get_text() for text in axes.texts] == ["first\nsecond\nthird", "apart"]
