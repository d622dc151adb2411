import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text

from benchmark.report.image_panel import RIGHT, WRONG, amplification, panel

from .fake_results import attacked_images


@pytest.mark.parametrize(
    ("largest", "factor"), [(0.0, 1), (1.0, 1), (0.5, 1), (0.1, 5), (8 / 255, 15), (1 / 255, 127)]
)
def test_a_difference_is_amplified_as_far_as_it_can_be_shown(largest, factor):
    difference = np.array([0.0, -largest, largest / 2], dtype=np.float32)
    assert amplification(difference) == factor
    assert factor * largest <= 0.5 + 1e-3 or factor == 1


@pytest.mark.parametrize("channels", [1, 3])
def test_neighbors_are_marked_by_color_and_symbol(channels):
    images = attacked_images(channels=channels)
    figure = panel({name: value[1] for name, value in images.items()}, "a title")
    axes = {axes.get_title(): axes for axes in figure.axes}
    right, wrong = RIGHT[1], WRONG[1]
    assert list(axes) == [
        "clean, class 1", f"{right} before 1: 1", f"{right} before 2: 1", f"{right} before 3: 1",
        "attacked, class 1", f"{wrong} after 1: 2", f"{wrong} after 2: 2", f"{right} after 3: 1",
        "difference \u00d7 5",
    ]  # fmt: skip
    colors = [
        to_hex(axes[name].spines["left"].get_edgecolor()).upper()
        for name in (f"{wrong} after 1: 2", f"{right} after 3: 1")
    ]
    assert colors == [WRONG[0], RIGHT[0]]
    shown = axes["difference \u00d7 5"].images[0].get_array()
    assert float(shown.min()) < 0.1 and float(shown.max()) > 0.9
    assert "a title" in [text.get_text() for text in figure.findobj(Text)]


def test_an_image_without_neighbors_or_change_is_drawn():
    image = {name: value[0] for name, value in attacked_images(near=0 + 1).items()}
    image |= {"attacked": image["clean"], "before": image["before"][:0], "after": image["after"][:0]}
    image |= {"before_labels": image["before_labels"][:0], "after_labels": image["after_labels"][:0]}
    figure = panel(image, "none")
    assert [axes.get_title() for axes in figure.axes] == [
        "clean, class 0",
        "attacked, class 0",
        "difference \u00d7 1",
    ]
