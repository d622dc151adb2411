"""One cell of a table as HTML: there are tens of thousands, for which macros of the template are too slow."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from benchmark.report.page.grid import Column, Line, Mark, Value
from benchmark.report.page.prose import breakable, sentence


def row(line: Line, columns: Sequence[Column], heads: int) -> Markup:
    """Writes the cells of a line.

    Args:
        line: the line.
        columns: the columns of its table.
        heads: position of the cell that names the line.
    """
    pairs = zip(line.values, columns, strict=True)
    return Markup("").join(
        _cell(value, column, place == heads) for place, (value, column) in enumerate(pairs)
    )


def marks(found: Sequence[Mark]) -> Markup:
    """Writes marks, each behind a space; those whose text does not say all are named to screen readers."""
    return Markup("").join(map(_mark, found))


def _mark(mark: Mark) -> Markup:
    if not mark.meaning:
        return Markup(f' <span class="mark">{escape(mark.text)}</span>')
    meaning = f'role="img" aria-label="{escape(mark.meaning)}"'
    return Markup(f' <span class="mark strong" {meaning}>{escape(mark.text)}</span>')


def _cell(value: Value, column: Column, head: bool) -> Markup:
    tag = "th" if head else "td"
    parts = [f"<{tag}", ' scope="row"' if head else ""]
    if column.numeric:
        parts.append(f' class="n {value.fill}" style="--w:{value.width}"' if value.width else ' class="n"')
    parts.append(f' data-v="{value.key}"' if value.key else "")
    parts.append(f' title="{escape(value.detail)}"' if value.detail else "")
    return Markup(f"{''.join(parts)}>{_content(value)}{marks(value.marks)}</{tag}>")


def _content(value: Value) -> Markup:
    if value.is_code:
        return Markup(f"<code>{breakable(value.text)}</code>")
    if value.is_prose:
        return sentence(value.text)
    return Markup(f"<strong>{escape(value.text)}</strong>") if value.strong else escape(value.text)
