"""A table as LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isnan

from benchmark.api.row import RowScores

_ESCAPES = str.maketrans(
    {
        "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
        "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}",
    }
)  # fmt: skip

_SCORES: dict[str, Callable[[RowScores], float]] = {
    "clean AMI": lambda row: row.clean.ami,
    "worst AMI": lambda row: row.worst.ami,
    "clean R@1": lambda row: row.clean.r1,
    "worst R@1": lambda row: row.worst.r1,
}


def latex_table(rows: Sequence[RowScores]) -> str:
    """Writes rows as a `tabular` with the rules of `booktabs`; columns without a score are left out.

    The best score of a column is bold; a dagger marks rows that fail a check, whose scores are not reliable.
    """
    shown = {title: score for title, score in _SCORES.items() if any(not isnan(score(row)) for row in rows)}
    best = {
        title: max((score(row) for row in rows if not row.reference and not isnan(score(row))), default=None)
        for title, score in shown.items()
    }
    lines = [
        rf"\begin{{tabular}}{{rl{'r' * len(shown)}}}",
        r"\toprule",
        " & ".join(["rank", "defense", *shown]) + r" \\",
        r"\midrule",
    ]
    for row in rows:
        scores = [_percent(score(row), score(row) == best[title]) for title, score in shown.items()]
        name = row.name.translate(_ESCAPES) + (r"$^\dagger$" if row.failing else "")
        lines.append(" & ".join([str(row.rank or "--"), name, *scores]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _percent(value: float, bold: bool) -> str:
    if isnan(value):
        return "--"
    text = f"{100 * value:.1f}"
    return rf"\textbf{{{text}}}" if bold else text
