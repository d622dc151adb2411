"""The board as lines of text that fit a terminal: whole, or summarized as far as its size asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from benchmark.core.output import printable
from benchmark.runner.view.board import TRAIN, Board, Column, State, Tally

STYLES = {
    State.WAITING: "dim",
    State.RUNNING: "bold yellow",
    State.DONE: "green",
    State.CACHED: "dim green",
    State.FAILED: "bold red",
    State.SKIPPED: "dim",
}
SYMBOLS = {
    State.WAITING: "\u00b7",
    State.RUNNING: "\u25b6",
    State.DONE: "\u2713",
    State.CACHED: "=",
    State.FAILED: "\u2717",
    State.SKIPPED: "-",
}
ASCII_SYMBOLS = {**SYMBOLS, State.WAITING: ".", State.RUNNING: ">", State.DONE: "+", State.FAILED: "x"}

_NARROWEST = 4
"""Width to which names of columns are cut off before columns are put together."""

_LABEL = 8
"""Width that the names of rows may have at least."""

_HEADER = 3
"""Lines of the names of columns, at most."""


class _ColumnGroup(NamedTuple):
    header: tuple[str, ...]
    columns: tuple[Column, ...]


class _Columns(NamedTuple):
    groups: list[_ColumnGroup]
    widths: list[int]
    gap: int

    @property
    def headers(self) -> list[tuple[str, ...]]:
        return [group.header for group in self.groups]

    def row(self, names: Iterable[str]) -> str:
        fitted = (_fitted(name, width) for name, width in zip(names, self.widths, strict=True))
        return "".join(" " * self.gap + name for name in fitted)


_DETAILS: tuple[Callable[[Column], tuple[str, ...]], ...] = (
    lambda column: column,
    lambda column: (column.name, column.details, ""),
    lambda column: (column.name, "", ""),
    lambda column: TRAIN if column == TRAIN else ("attacks", "", ""),
    lambda column: ("jobs", "", ""),
)
"""What columns with the same names are counted together, from none to all."""


@dataclass(frozen=True)
class _Line:
    """A row of the board: its label and what it counts; a heading counts nothing."""

    label: str
    blocks: tuple[str, ...] = ()
    rows: tuple[str, ...] | None = None
    heading: bool = False


def board_lines(board: Board, width: int, height: int, ascii_only: bool = False) -> list[Text]:
    """Renders a board.

    Where it does not fit, budgets and then variants of an attack are counted together, and then all attacks;
    blocks (data sets, backbones, losses) are counted together, with a line for each where there is room; and
    last, rows.

    Args:
        board: the jobs.
        width: columns of the terminal.
        height: lines that may be used, at most.
        ascii_only: whether only ASCII can be shown.

    Returns:
        Lines of at most that width; none where there is no room.
    """
    symbols = ASCII_SYMBOLS if ascii_only else SYMBOLS
    for header_height in range(1, _HEADER + 1):
        lines = _rows(board, height - header_height)
        if not lines:
            return []
        longest = max(cell_len(printable(line.label)) for line in lines)
        label_width = min(longest, max(_LABEL, width // 3))
        columns = _columns(board, lines, width - label_width, symbols)
        header = [names for names in zip(*columns.headers, strict=True) if any(names)]
        if len(header) <= header_height:
            break
    rendered = [Text(" " * label_width + columns.row(names), "bold") for names in header]
    for line in lines:
        text = Text(_fitted(line.label, label_width), "bold" if line.heading else "")
        if not line.heading:
            for group, group_width in zip(columns.groups, columns.widths, strict=True):
                content, style = cell(board.tally(line.blocks, line.rows, group.columns), symbols)
                text.append(" " * columns.gap).append(_fitted(content, group_width), style)
        rendered.append(text)
    for whole in rendered:
        whole.truncate(width)
    return rendered


def cell(tally: Tally, symbols: dict[State, str]) -> tuple[str, str]:
    """Returns what stands for some jobs, and its style: a symbol for one job, else how many have ended."""
    if not tally.total:
        return "", ""
    states = [state for state in State if tally.counts[state]]
    if tally.total == 1:
        running = states[0] is State.RUNNING and tally.share > 0
        return f"{int(100 * tally.share)}%" if running else symbols[states[0]], STYLES[states[0]]
    failed = "!" if tally.counts[State.FAILED] else ""
    shown = next(
        (state for state in (State.FAILED, State.RUNNING, State.WAITING, State.DONE) if state in states),
        states[0],
    )
    return f"{tally.ended}/{tally.total}{failed}", STYLES[shown]


def _fitted(text: str, width: int) -> str:
    """The text in exactly that width, cut off where it is longer; with a dot where that can be read."""
    text = printable(text)
    dot = "." if cell_len(text) > width > _NARROWEST else ""
    return set_cell_size(set_cell_size(text, width - len(dot)) + dot if dot else text, width)


def _columns(board: Board, lines: list[_Line], width: int, symbols: dict[State, str]) -> _Columns:
    """Chooses the most detailed columns that fit into a width beside the labels of some lines."""
    counting = [line for line in lines if not line.heading]
    for key in _DETAILS:
        groups = _grouped(board.columns, key)
        counted = [
            max(
                len(cell(board.tally(line.blocks, line.rows, group.columns), symbols)[0]) for line in counting
            )
            for group in groups
        ]
        natural = [
            max(cells, *(cell_len(name) for name in group.header))
            for cells, group in zip(counted, groups, strict=True)
        ]
        least = [max(cells, min(whole, _NARROWEST)) for cells, whole in zip(counted, natural, strict=True)]
        for gap in (2, 1):
            room = width - gap * len(least)
            if sum(least) <= room:
                return _Columns(groups, _widen(least, natural, room), gap)
    return _Columns(groups, least, 1)


def _widen(least: list[int], natural: list[int], width: int) -> list[int]:
    """Widens columns in turn, up to their natural widths, as far as there is room."""
    widths = list(least)
    while sum(widths) < width:
        narrow = [index for index, size in enumerate(widths) if size < natural[index]]
        if not narrow:
            break
        widths[min(narrow, key=lambda index: widths[index])] += 1
    return widths


def _grouped(columns: Iterable[Column], key: Callable[[Column], tuple[str, ...]]) -> list[_ColumnGroup]:
    groups: dict[tuple[str, ...], list[Column]] = {}
    for column in columns:
        groups.setdefault(tuple(key(column)), []).append(column)
    return [_ColumnGroup(header, tuple(members)) for header, members in groups.items()]


def _rows(board: Board, height: int) -> list[_Line]:
    """Chooses the most detailed rows that fit into a number of lines."""
    blocks = tuple(board.blocks)
    together = [_Line(row, blocks, (row,)) for row in board.rows(blocks)]
    if len(blocks) > 1:
        totals = [_Line(block, (block,)) for block in blocks]
        each = [
            line
            for block in blocks
            for line in (
                _Line(block, heading=True),
                *(_Line(f"  {row}", (block,), (row,)) for row in board.rows([block])),
            )
        ]
        choices: Sequence[list[_Line]] = (
            each,
            [*together, _Line("by setting", heading=True), *totals],
            together,
        )
    else:
        choices = (together,)
    for lines in choices:
        if len(lines) <= height:
            return lines
    if height < 1:
        return []
    shown = together[: height - 1]
    others = tuple(line.label for line in together[height - 1 :])
    return [*shown, _Line(f"{len(others)} {'more' if shown else 'rows'}", blocks, others)]
