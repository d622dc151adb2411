from io import BytesIO
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from benchmark.report.svg_size import SVG, XLINK, compact


def drawn(count=40, colors="#0072B2"):
    figure = Figure(figsize=(4, 3))
    axes = figure.subplots()
    places = np.random.default_rng(0).random((2, count))
    axes.scatter(*places, color=colors, alpha=0.8, clip_on=True)
    axes.set_title("points > lines & more")
    written = BytesIO()
    figure.savefig(written, format="svg", metadata={"Date": None, "Title": "what it says"})
    return written.getvalue()


def of(svg, name):
    return list(ElementTree.fromstring(svg).iter(f"{{{SVG}}}{name}"))


def looks(root, inherited=None):
    """Style, clip path and place of each shape that is used, in order, as a viewer resolves them."""
    found = []
    kept = dict(inherited or {})
    kept |= {name: root.attrib[name] for name in ("style", "clip-path") if name in root.attrib}
    if root.tag == f"{{{SVG}}}use":
        x, y = root.get("x"), root.get("y")
        if "transform" in root.attrib:
            x, _, y = root.attrib["transform"].removeprefix("translate(").removesuffix(")").partition(" ")
        found.append((kept.get("style"), kept.get("clip-path"), float(x or 0), float(y or 0)))
    for child in root:
        found += looks(child, kept)
    return found


@pytest.mark.parametrize("colors", ["#0072B2", ["#0072B2", "#D55E00"] * 20])
def test_a_viewer_sees_the_same_to_a_hundredth_of_a_point(colors):
    svg = drawn(colors=colors)
    before, after = (looks(ElementTree.fromstring(one)) for one in (svg, compact(svg)))
    assert len(before) == len(after) > 40
    for one, other in zip(before, after, strict=True):
        assert one[:2] == other[:2]
        assert other[2:] == pytest.approx(one[2:], abs=0.00501)


def test_it_is_much_smaller_and_the_same_for_the_same_input():
    svg = drawn(400)
    small = compact(svg)
    assert len(small) < 0.5 * len(svg)
    assert compact(svg) == small == compact(small)


def test_every_shape_that_is_used_is_defined_once():
    small = compact(drawn())
    names = [
        element.attrib["id"] for element in ElementTree.fromstring(small).iter() if "id" in element.attrib
    ]
    assert len(set(names)) == len(names)
    assert {use.attrib[f"{{{XLINK}}}href"].removeprefix("#") for use in of(small, "use")} <= set(names)


def test_the_title_stays_and_lines_keep_their_own_opacity():
    assert [title.text for title in of(compact(drawn()), "title")] == ["what it says"]
    style = b"opacity: 0.5; fill: none"
    paths = b'<path d="M 0.123 1 \nL 2 3" style="%s"/><path d="M 0 1" style="%s"/>'
    svg = b'<svg xmlns="%s"><g>' + paths + b"</g></svg>"
    first, second = of(compact(svg % (SVG.encode(), style, style)), "path")
    assert first.attrib == {"d": "M0.12 1L2 3", "style": style.decode()} and "style" in second.attrib


def test_a_clip_path_stays_at_parts_that_are_moved():
    part = b'<path d="M 0 1" clip-path="url(#c)" transform="translate(1.234 2)"/>'
    svg = b'<svg xmlns="%s"><g>%s%s</g></svg>' % (SVG.encode(), part, part)
    assert [path.attrib["clip-path"] for path in of(compact(svg), "path")] == ["url(#c)"] * 2
