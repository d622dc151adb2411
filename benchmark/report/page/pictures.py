"""The figures of a report as data URIs, within a limit of bytes."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.report.attacked_images import RowImages
from benchmark.report.figures import TableFigures
from benchmark.report.page.grid import one_line
from benchmark.report.page.settings import of_table
from benchmark.report.tables import Table

LIMIT = 3_000_000
"""Bytes of all pictures as they stand in the page; those beyond are links."""
WIDEST = 1600
"""Pixels that a picture is shrunk to."""
COLORS = 128
TITLES = {
    "clean_vs_worst": "Clean and worst-case scores",
    "cost": "Robustness against training cost",
    "seen": "What a person sees",
    "heatmap": "Each attack against each row",
    "eps": "Scores over budgets",
    "training": "Validation scores over the training",
    "tsne": "Embeddings before and after an attack",
    "images": "Attacked images",
}
"""What each kind of picture shows, by its name, in the order of the page."""


@dataclass(frozen=True)
class Picture:
    """A picture of the page.

    Attributes:
        kind: the name of its kind.
        title: what it shows, which is its caption.
        alt: what it shows, for those who do not see it.
        link: its path beside the page.
        data: a data URI; empty where the page would be too large.
        width, height: in pixels, as it stands in the page.
        single: whether it shows one row, so that there are many of its kind.
        setting: what it is of, by the names of filters.
    """

    kind: str
    title: str
    alt: str
    link: str
    data: str
    width: int
    height: int
    single: bool = False
    setting: dict[str, str] = field(default_factory=dict)


class Album:
    """Embeds pictures until the page is full.

    Args:
        output: the folder of the page.
        limit: bytes of all pictures together.
    """

    def __init__(self, output: Path, limit: int = LIMIT) -> None:
        self._output = output
        self._left = limit

    def of_table(self, table: Table, figures: TableFigures) -> list[Picture]:
        """Embeds the figures of a table, those of single rows last.

        Args:
            table: the table.
            figures: its figures.
        """
        setting = {name: text for name, text in of_table(table).fixed.items() if name != "eps"}
        shown = []
        for kind in TITLES:
            found = getattr(figures, kind, None)
            of_rows = found if isinstance(found, dict) else {"": found} if found else {}
            for row, path in of_rows.items():
                title = f"{TITLES[kind]}{f' of {row}' if row else ''}, {table.heading}"
                alt = f"{title}. {figures.alt(path)}".strip()
                shown.append(self._picture(kind, title, alt, path, setting, single=bool(row)))
        return shown

    def of_images(self, images: Sequence[RowImages]) -> list[Picture]:
        """Embeds the attacked images of rows."""
        return [
            self._picture(
                "images",
                f"{of_row.row} under {of_row.attack}, {of_row.heading}: image {path.stem}",
                f"An image clean and attacked, their difference, and the nearest neighbors before and after "
                f"the attack {of_row.attack} on {of_row.row}.",
                path,
                {},
                single=True,
            )
            for of_row in images
            for path in of_row.pictures
        ]

    def _picture(
        self, kind: str, title: str, alt: str, path: Path, setting: dict[str, str], single: bool = False
    ) -> Picture:
        data, (width, height) = _shrunk(path)
        if len(data) > self._left:
            data = ""
        self._left -= len(data)
        link = path.relative_to(self._output).as_posix()
        return Picture(kind, one_line(title), one_line(alt), link, data, width, height, single, setting)


def _shrunk(path: Path) -> tuple[str, tuple[int, int]]:
    """A PNG with few colors as a data URI, and its size in pixels."""
    from PIL import Image

    with Image.open(path) as opened:
        image = opened.convert("RGB")
    image.thumbnail((WIDEST, 4 * WIDEST))
    data = io.BytesIO()
    image.quantize(COLORS, dither=Image.Dither.NONE).save(data, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode('ascii')}", image.size
