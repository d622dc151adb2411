"""Style of all figures: colors that color-blind readers can tell apart, labels, percent axes, saving."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.core.files import write_atomically
from benchmark.core.parameters import parse_fraction
from benchmark.core.spec import format_value
from benchmark.report.svg_size import compact

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette without its yellow, which is too pale for lines on white. Then colors at least as
# far from all others in CIELAB as its closest two, to color-blind readers too (Machado et al. 2009).
PALETTE = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000",
    "#5A2D00", "#9600F0", "#001E87", "#870069", "#4B4B3C", "#87B469", "#9687FF",
    "#A55A2D", "#784BD2", "#2D002D",
)  # fmt: skip
MARKERS = "osD^vP*X<>pd"
LINES = ("-", "--", "-.")
ROWS_OF_A_LINE = 7
"""Rows, in alphabetical order, that have the same kind of line."""
LONGEST_NAME = 48
"""Characters of a name that a figure shows whole."""
REFERENCE_LINE = ":"
GREY = "#7F7F7F"
NORMS = {"linf": "L∞", "l2": "L2", "l0": "L0"}
UNITS = {"l0": " pixels"}
METRICS = {"ami": "AMI", "nmi": "NMI", "f1": "F1", "r1": "R@1"}
DPI = 130
TITLE_LETTERS, NOTE_LETTERS = 8.6, 15.0  # that fit into an inch


@dataclass(frozen=True)
class LineStyle:
    """Color, marker and line of one defense, the same in every figure."""

    color: str
    marker: str
    line: str


def line_styles(defenses: Iterable[str], references: Iterable[str]) -> dict[str, LineStyle]:
    """Assigns a style to each defense: references are grey; those of like colors differ in marker or line."""
    names, grey = set(defenses), set(references)
    ranked = sorted(names - grey)
    styles = {
        name: LineStyle(
            color=PALETTE[i % len(PALETTE)],
            marker=MARKERS[i % len(MARKERS)],
            line=LINES[i // ROWS_OF_A_LINE % len(LINES)],
        )
        for i, name in enumerate(ranked)
    }
    shown = sorted(names & grey)
    return styles | {
        name: LineStyle(GREY, MARKERS[-1 - i % len(MARKERS)], REFERENCE_LINE) for i, name in enumerate(shown)
    }


def slug(*parts: str, limit: int = 80) -> str:
    """Joins texts to a file name of lower-case letters, digits, `.`, `_` and `-`.

    A hash tells apart what would otherwise share a name: texts that were cut off, or that differ in case or
    in characters that a spec does not need.
    """
    words = [re.sub(r"[^a-z0-9._-]", "-", part.lower()).strip("-") for part in parts]
    text = "_".join(words)
    if len(text) <= limit and not any(re.search(r"[^a-z0-9._\-\[\],=/]", part) for part in parts):
        return text
    return f"{text[: limit - 9].rstrip('-_')}-{sha256('|'.join(parts).encode()).hexdigest()[:8]}"


def with_hash(path: Path, parts: Iterable[str]) -> Path:
    """Adds a hash of some texts to a file name that another file has."""
    return path.with_stem(f"{path.stem}-{sha256('|'.join(parts).encode()).hexdigest()[:8]}")


def format_eps(eps: float) -> str:
    """Writes a budget so that it reads back as the same number: as a short decimal, else in 255ths."""
    for text in (format_value(eps), f"{255 * eps:.6g}/255"):  # the second as in "0.25/255"
        if float(parse_fraction(text)) == eps:
            return text
    return repr(eps)


def budget(norm: str, eps: float) -> str:
    """Formats a budget, as in "L∞ 8/255" or "L0 20 pixels"."""
    return f"{NORMS.get(norm, norm)} {format_eps(eps)}{UNITS.get(norm, '')}"


def wrapped(spec: str, width: int = 24) -> str:
    """Breaks a spec string into several lines, after commas and before brackets, where it is too long.

    The middle of a single name that is longer than any figure is wide gives way to three dots.
    """
    pieces = [
        piece if len(piece) <= LONGEST_NAME else f"{piece[: LONGEST_NAME // 2]}\u2026{piece[-width // 2 :]}"
        for piece in re.split(r"(?<=,)|(?=\[)", spec)
    ]
    lines = [""]
    for piece in pieces:
        if lines[-1] and len(lines[-1]) + len(piece) > width:
            lines.append("")
        lines[-1] += piece
    return "\n".join(lines)


def new_figure(width: float, height: float) -> Figure:
    """Makes an empty figure, width and height in inches, with a layout that clips no text."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def headline(figure: Figure, title: str, note: str) -> None:
    """Writes the title above a figure and the note below it, both wrapped to the width of the figure."""
    width = figure.get_figwidth()
    for name in NORMS.values():
        title = title.replace(f"{name} ", f"{name}\u00a0")  # a budget stays in one line
    lines = textwrap.fill(title, int(width * TITLE_LETTERS), break_on_hyphens=False)
    figure.suptitle(lines, x=0.01, ha="left", fontsize=12, fontweight="bold")
    lines = textwrap.fill(note, int(width * NOTE_LETTERS), break_on_hyphens=False)
    figure.supxlabel(lines, x=0.01, ha="left", fontsize=8.5, color="#444444")


def percent(value: float, decimals: int = 0) -> str:
    """Formats a fraction in percent, without a minus before a zero, as in "70.7"."""
    return f"{round(100 * value, decimals) + 0.0:.{decimals}f}"


def seed_range(values: Sequence[float]) -> list[list[float]] | None:
    """The way from the mean of some seeds down to the lowest and up to the highest, as error bars are drawn.

    A range holds only values that were measured; a standard deviation would reach below 0.

    Returns:
        Shape (2, 1); None for fewer than two values that are not nan.
    """
    known = [value for value in values if not isnan(value)]
    if len(known) < 2:
        return None
    middle = sum(known) / len(known)
    return [[max(0.0, middle - min(known))], [max(0.0, max(known) - middle)]]


def percent_axis(axes: Axes, which: str) -> None:
    """Labels an axis of fractions in percent, over the range that metrics can take and a little more."""
    from matplotlib.ticker import FuncFormatter

    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
    axis.set_ticks([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    # AMI falls below 0 where clusters agree with the classes less than random ones do.
    lowest = min(0.0, axes.dataLim.x0 if which == "x" else axes.dataLim.y0)
    (axes.set_xlim if which == "x" else axes.set_ylim)(lowest - 0.04, 1.04)
    axes.grid(axis="x" if which == "x" else "y", color="#E3E3E3", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def alt_text(figure: Figure) -> str:
    """What a figure says, for readers who do not see it: its title, as a sentence in one line."""
    return " ".join(figure.get_suptitle().split()).rstrip(".") + "."


def save(figure: Figure, path: Path, vector: bool = True) -> None:
    """Writes a PNG and beside it an SVG, each atomically; the same figure gives the same bytes.

    Args:
        figure: the figure.
        path: the PNG.
        vector: whether to write the SVG too.
    """
    from matplotlib import rc_context

    write_atomically(path, lambda temporary: _save_png(figure, temporary))
    if vector:
        about = {"Date": None, "Creator": None, "Title": alt_text(figure)}
        with rc_context({"svg.hashsalt": path.stem}):
            drawn = BytesIO()
            figure.savefig(drawn, format="svg", metadata=about)
        write_atomically(svg_of(path), lambda temporary: temporary.write_bytes(compact(drawn.getvalue())))


def _save_png(figure: Figure, path: Path) -> None:
    """Writes a PNG, with a palette of 256 colors, which is a third as large, unless it shows color images."""
    import numpy as np
    from PIL import Image

    drawn = BytesIO()
    figure.savefig(drawn, format="rgba", dpi=DPI)  # encoded once, below
    width, height = (int(side * DPI) for side in figure.get_size_inches())
    in_color = any(np.asarray(image.get_array()).ndim == 3 for axes in figure.axes for image in axes.images)
    whole = Image.frombytes("RGBA", (width, height), drawn.getvalue()).convert("RGB")
    shown = whole if in_color else whole.quantize(256, dither=Image.Dither.NONE)
    shown.save(path, format="png", optimize=True)


def svg_of(path: Path) -> Path:
    """The SVG beside a figure's PNG."""
    return path.with_name(f"{path.name.removesuffix('.png')}.svg")
