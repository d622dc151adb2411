"""Tables of the page as data: columns, lines and values, which the template turns into HTML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import isnan, nan
from typing import Literal

from benchmark.core.output import printable
from benchmark.report.escapes import NONE

FIRST_SORT = Literal["ascending", "descending"]


@dataclass(frozen=True)
class Mark:
    """What stands beside a value.

    Attributes:
        text: what is shown, as in "†" or "plugin 1a2b3c4d".
        meaning: what screen readers say after it; empty where the text says all.
    """

    text: str
    meaning: str = ""


@dataclass(frozen=True)
class Value:
    """One cell of a table.

    Attributes:
        text: what is shown.
        sort: what the column is sorted by: a number, nan where there is none, which stands last in either
            order; None to sort by the text.
        detail: the exact value and where it is from, a fact a line; shown on hover and focus.
        marks: what stands behind the text.
        is_code: whether the text is a spec.
        is_prose: whether the text is a sentence with code spans.
        bar: a fraction from 0 to 1 that is drawn behind the text; nan for none.
        fill: how it is drawn: as a "bar", or as the color of the cell ("heat").
        strong: whether it stands out.
    """

    text: str
    sort: float | None = None
    detail: str = ""
    marks: tuple[Mark, ...] = ()
    is_code: bool = False
    is_prose: bool = False
    bar: float = nan
    fill: Literal["bar", "heat"] = "bar"
    strong: bool = False

    @property
    def width(self) -> str:
        """The width of the bar as a fraction that CSS reads; empty for none."""
        return "" if isnan(self.bar) else f"{min(1.0, max(0.0, self.bar)):.3f}"

    @property
    def key(self) -> str:
        """The number that the value is sorted by, as it reads back; empty where there is none."""
        return "" if self.sort is None or isnan(self.sort) else repr(float(self.sort))


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        title: its head.
        name: what filters call it; empty where no filter reads it.
        numeric: whether it is sorted by numbers.
        first: the order of the first sort.
        scenario: the scenario whose metric it shows; a filter by another one hides it.
        hint: what the head means, on hover and focus.
        mark: what stands behind the title.
    """

    title: str
    name: str = ""
    numeric: bool = False
    first: FIRST_SORT = "ascending"
    scenario: str = ""
    hint: str = ""
    is_code: bool = False
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class Line:
    """One line of a table.

    Attributes:
        values: one for each column.
        labels: what the filter of marks finds it by.
    """

    values: Sequence[Value]
    labels: Sequence[str] = ()


@dataclass(frozen=True)
class Grid:
    """One table.

    Attributes:
        id: its id on the page.
        caption: what it shows.
        columns: its columns.
        lines: its lines, in the order in which they are shown first.
        heads: position of the column that names each line.
        setting: what all its lines share, by the name of a filter.
        tall: whether it scrolls by itself.
    """

    id: str
    caption: str
    columns: Sequence[Column]
    lines: Sequence[Line]
    heads: int = 0
    setting: Mapping[str, str] = field(default_factory=dict)
    tall: bool = False


def number(text: str, value: float, detail: str = "", **more: object) -> Value:
    """A number: what is shown, and what it is sorted by."""
    return Value(text, value, detail if text != NONE else "", **more)  # type: ignore[arg-type]


def plain(text: str) -> Value:
    """Text, or a dash where it is empty."""
    return Value(one_line(text) or NONE)


def spec(text: str, detail: str = "", marks: tuple[Mark, ...] = ()) -> Value:
    """A spec, or a dash where it is empty."""
    shown = one_line(text)
    return Value(shown or NONE, detail=detail, marks=marks, is_code=bool(shown))


@lru_cache(maxsize=4096)  # names of rows and attacks come again in every line
def one_line(text: str) -> str:
    """Text in one line, with control characters as escapes."""
    return printable(" ".join(text.split()))


def exact(value: float) -> str:
    """A number with all its digits."""
    return repr(float(value))


def choices(grids: Iterable[Grid], name: str) -> list[str]:
    """Lists the values that a filter has in some tables: numbers in order, others as the tables are."""
    found: dict[str, float | None] = {}
    for grid in grids:
        places = [place for place, column in enumerate(grid.columns) if column.name == name]
        for place in places:
            found |= {line.values[place].text: line.values[place].sort for line in grid.lines}
        if not places and name in grid.setting:
            found.setdefault(grid.setting[name], None)
    shown = [text for text in found if text != NONE]
    numbers = {text: value for text in shown if (value := found[text]) is not None}
    return sorted(shown, key=lambda text: numbers[text]) if len(numbers) == len(shown) else shown
