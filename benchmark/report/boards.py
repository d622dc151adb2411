"""The page's tables as lines of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isnan

from benchmark.report.outcomes import CLUSTERING, RETRIEVAL
from benchmark.report.tables import Row, Table

NONE = "\u2013"  # an en dash


def percent(mean: float, std: float | None = None) -> str:
    """A fraction in percent with one decimal, and its standard deviation where there is one."""
    if isnan(mean):
        return NONE
    spread = "" if std is None or isnan(std) else f" ± {100 * std:.1f}"
    return f"{100 * mean:.1f}{spread}"


def times(value: float) -> str:
    """A cost as a multiple."""
    return NONE if isnan(value) else f"{value:.2f}" if value < 10 else f"{value:.0f}"


def text(value: str) -> str:
    """Free text in one line that breaks no table."""
    return " ".join(value.replace("|", "\\|").split())


def code(value: str) -> str:
    """A spec string or command, set as code; a dash when it is empty."""
    return f"`{text(value)}`" if value else NONE


def place(row: Row) -> str:
    """A rank with its interval, as in "2 (1-3)"."""
    if row.rank is None:
        return NONE
    return str(row.rank) if row.rank_low is None else f"{row.rank} ({row.rank_low}-{row.rank_high})"


def main_board(table: Table) -> list[str]:
    """The leaderboard; a scenario that was not run has no columns."""
    columns: list[tuple[str, str, list[str]]] = [
        ("rank", "---", [place(row) for row in table.rows]),
        ("defense", "---", [code(row.defense) for row in table.rows]),
    ]

    def figure(title: str, name: str, bold: bool = False) -> None:
        cells = [percent(row.mean(name), row.std(name)) for row in table.rows]
        columns.append((title, "---:", [f"**{cell}**" if bold and cell != NONE else cell for cell in cells]))

    if table.has(CLUSTERING):
        figure("clean AMI", "clean_ami")
        figure("worst AMI", "worst_ami", bold=True)
        figure("clean NMI", "clean_nmi")
        figure("worst NMI", "worst_nmi")
    if table.has(RETRIEVAL):
        figure("clean R@1", "clean_r1")
        figure("worst R@1", "worst_r1", bold=True)
    for scenario, metric, name in ((CLUSTERING, "ami", "AMI"), (RETRIEVAL, "r1", "R@1")):
        if table.has(scenario):
            worst = [code(row.worst_attack(scenario, metric)) for row in table.rows]
            columns.append((f"worst attack, {name}", "---", worst))
    columns.append(
        ("train cost \u00d7", "---:", [times(row.training("relative_cost")) for row in table.rows])
    )
    columns.append(("embed cost \u00d7", "---:", [times(row.training("embed_cost")) for row in table.rows]))
    columns.append(("failed cells", "---:", [_failed(row) for row in table.rows]))
    return _lines(columns)


def attacks_board(table: Table) -> list[str]:
    """Each attack of the suite on its own against each defense: attacks down, defenses across."""
    both = ((CLUSTERING, "ami"), (RETRIEVAL, "r1"))
    shown = [(scenario, metric) for scenario, metric in both if table.has(scenario)]

    def joined(figures: Iterable[float]) -> str:
        cells = [percent(value) for value in figures]
        return NONE if set(cells) == {NONE} else " / ".join(cells)

    columns = [("attack", "---", ["*clean*", *map(code, table.attacks), "**worst case**"])]
    for row in table.rows:
        alone = [row.standalone(scenario, metric) for scenario, metric in shown]
        cells = [joined(figures.get(attack, float("nan")) for figures in alone) for attack in table.attacks]
        clean = joined(row.mean(f"clean_{metric}") for _, metric in shown)
        worst = joined(row.mean(f"worst_{metric}") for _, metric in shown)
        columns.append((code(row.defense), "---:", [clean, *cells, worst]))
    return _lines(columns)


def _failed(row: Row) -> str:
    return f"**{len(row.failed)}** of {len(row.outcomes)}" if row.failed else "0"


def _lines(columns: Sequence[tuple[str, str, list[str]]]) -> list[str]:
    heads, rules, cells = zip(*columns, strict=True)
    return [f"| {' | '.join(line)} |" for line in (heads, rules, *zip(*cells, strict=True))]
