"""The leaderboards as one file of LaTeX."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from benchmark.core.files import write_atomically
from benchmark.report.cell_results import Run
from benchmark.report.exports.base import Export
from benchmark.report.latex import latex
from benchmark.report.tables import Table


class LatexExport(Export):
    """Writes `leaderboard.tex`: a `tabular` for each table, in the page's order."""

    name: ClassVar[str] = "latex"

    def write(self, run: Run, tables: list[Table], output: Path) -> list[Path]:
        """Writes the file."""
        path, source = output / "leaderboard.tex", "\n".join(latex(run, table) for table in tables)
        write_atomically(path, lambda temporary: temporary.write_text(source, encoding="utf-8", newline="\n"))
        return [path]
