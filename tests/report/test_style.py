from itertools import combinations

import numpy as np
import pytest
from matplotlib import rc_context
from PIL import Image

from benchmark.report.fonts import in_style
from benchmark.report.style import (
    DPI,
    GREY,
    PALETTE,
    budget,
    format_eps,
    line_styles,
    new_figure,
    percent,
    save,
    seed_range,
    slug,
    wrapped,
)  # fmt: skip


@pytest.mark.parametrize("eps", [0.05, 0.1, 0.2, 1.0, 3.0, 2 / 255, 8 / 255, 1 / 3, 1e-7, 0.0313725])
def test_a_budget_reads_back_as_the_same_number(eps):
    text = format_eps(eps)
    above, _, below = text.partition("/")
    assert float(above) / float(below or 1) == eps


def test_a_part_of_a_grey_level_is_short():
    assert [format_eps(factor / 255) for factor in (0.25, 0.5, 1.0, 1.5)] == [
        "0.25/255", "0.5/255", "1/255", "1.5/255",
    ]  # fmt: skip


def test_a_budget_names_its_norm_and_its_unit():
    assert budget("linf", 8 / 255) == "L\u221e 8/255"
    assert [budget("l2", 1.5), budget("l0", 20.0)] == ["L2 1.5", "L0 20 pixels"]


def test_line_styles_differ_even_for_many_defenses():
    names = [f"d{i}" for i in range(20)]
    styles = line_styles(names, ["d0", "d1"])
    assert len(set(styles.values())) == 20
    for one, other in combinations(styles.values(), 2):
        if one.color == other.color:
            assert one.marker != other.marker and (one.line != other.line or one.color == GREY)
    assert styles == line_styles(reversed(names), ["d1", "d0"])


# Of linear RGB, as people see it who lack one kind of cones: Machado et al. 2009, severity 1.
SEEN = {
    "all": np.eye(3).ravel(),
    "no long": [.152286, 1.052583, -.204868, .114503, .786281, .099216, -.003882, -.048116, 1.051998],
    "no middle": [.367322, .860646, -.227968, .280085, .672501, .047413, -.01182, .04294, .968881],
    "no short": [1.255528, -.076749, -.178779, -.078411, .930809, .147602, .004733, .691367, .3039],
}  # fmt: skip


def lab(color, cones):
    """A color in CIELAB, under D65."""
    rgb = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = np.cbrt(
        np.array(to_xyz) @ np.clip(np.reshape(cones, (3, 3)) @ linear, 0, 1) / [0.95047, 1, 1.08883]
    )
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("cones", SEEN.values(), ids=SEEN)
def test_color_blind_readers_can_tell_colors_apart(cones):
    seen = [lab(color, cones) for color in (*PALETTE, "#FFFFFF")]
    assert min(np.linalg.norm(one - other) for one, other in combinations(seen, 2)) > 12
    assert len(PALETTE) >= 17  # as many as the largest published board has rows


def test_slugs_and_labels_stay_short_and_distinct():
    assert slug("eat[members=5]") == "eat-members-5"
    long = [slug(f"eat[{'x' * 100}={i}]") for i in range(3)]
    assert slug("glyphs", "smallconv") == "glyphs_smallconv"
    assert slug("glyphs[size=8]", "x" * 100) != slug("glyphs[size=8]", "x" * 101)
    assert len(set(long)) == 3 and max(map(len, long)) <= 80
    assert max(map(len, wrapped("eat[members=5,transfer=peers,split=none]").split("\n"))) <= 24
    long = wrapped("a" * 300 + "b")
    assert len(long) < 48 and long.startswith("aaa") and long.endswith("ab") and "\u2026" in long
    assert wrapped("a" * 48) == "a" * 48


def test_a_zero_has_no_minus():
    assert [percent(-0.0004), percent(-0.001, 1), percent(0.7066, 1)] == ["0", "-0.1", "70.7"]


def test_a_range_of_seeds_ends_at_values_that_were_measured():
    values = [0.0, 0.0, 0.03]
    (below,), (above,) = seed_range(values)
    assert 0.01 - below == pytest.approx(0.0) and 0.01 + above == pytest.approx(0.03)
    assert seed_range([0.5]) is None and seed_range([0.5, float("nan")]) is None


def test_a_user_s_own_setting_changes_no_file(tmp_path):
    figure = new_figure(3, 2)
    figure.add_subplot().plot([0, 1])
    written = []
    for setting in (None, "tight"):
        with rc_context({"savefig.bbox": setting}), in_style():
            save(figure, tmp_path / "a.png")
        written.append([(tmp_path / name).read_bytes() for name in ("a.png", "a.svg")])
    assert written[0] == written[1]
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (3 * DPI, 2 * DPI)
