"""The leaderboard's tables in LaTeX."""

from __future__ import annotations

import re

from benchmark.core.output import printable
from benchmark.report.boards import MARK, main_cost, rank_text, score_columns
from benchmark.report.cell_results import Run
from benchmark.report.checks import told
from benchmark.report.escapes import NONE
from benchmark.report.marks import marks
from benchmark.report.rows import Row
from benchmark.report.tables import Table

_ESCAPED = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "-": "-{}",  # no dash out of two hyphens
    NONE: "--",
    MARK: r"$^\dagger$",
    "\u00d7": r"$\times$",
    "\u00b1": r"$\pm$",
    "\u221e": r"$\infty$",
}


def latex(run: Run, table: Table) -> str:
    """Writes a table as a `tabular` for LaTeX with the package booktabs, scores in percent.

    It has the columns of the page's leaderboard. Worst-case metrics are bold.

    Args:
        run: the run.
        table: one of its tables, ranked.

    Returns:
        The source, which begins with comments on what is shown and ends with a newline.
    """
    columns: list[tuple[str, str, list[str]]] = [
        ("rank", "l", [escape(rank_text(row)) for row in table.rows]),
        (table.noun, "l", [_name(row) for row in table.rows]),
    ]
    for title, cells, bold in score_columns(table):
        columns.append((title, "r", [_number(cell, bold) for cell in cells]))
    title, cells = main_cost(table)
    columns.append((title, "r", list(map(escape, cells))))
    if run.manifest.checks:
        columns.append(("checks", "l", [escape(told(row.checks)) for row in table.rows]))
    lines = [
        [escape(title) for title, _, _ in columns],
        *zip(*(cells for _, _, cells in columns), strict=True),
    ]
    head, *body = [f"{' & '.join(line)} \\\\" for line in lines]
    return "\n".join(
        [
            printable(
                f"% {' '.join(table.heading.split())}, suite {' '.join(table.suite.split())}; in percent."
            ),
            r"% \usepackage{booktabs}",
            f"\\begin{{tabular}}{{{''.join(alignment for _, alignment, _ in columns)}}}",
            r"\toprule",
            head,
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def escape(text: str) -> str:
    """Escapes what LaTeX would not print as it stands, in one line."""
    return re.sub(".", lambda found: _ESCAPED.get(found[0], found[0]), printable(" ".join(text.split())))


def _number(cell: str, bold: bool) -> str:
    if cell == NONE:
        return escape(cell)
    number = f"$-${escape(cell[1:])}" if cell.startswith("-") else escape(cell)
    return f"\\textbf{{{number}}}" if bold else number


def _name(row: Row) -> str:
    found = marks(row)
    source = f" ({escape(', '.join(found))})" if found else ""
    return f"\\texttt{{{escape(row.name)}}}{source}{escape(MARK) if row.failing else ''}"
