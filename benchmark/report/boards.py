"""The page's tables as lines of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isnan

from benchmark.report.cell_results import CLUSTERING, RETRIEVAL
from benchmark.report.checks import NOT_RUN, RowCheck, told
from benchmark.report.escapes import NONE, code, text
from benchmark.report.marks import named
from benchmark.report.rows import Row
from benchmark.report.standing import METRICS
from benchmark.report.tables import Table

AFTER = "\u2021"  # a double dagger
MARK = "\u2020"  # a dagger
SCORES = {
    CLUSTERING: (
        ("clean AMI", "clean_ami", False),
        ("worst AMI", "worst_ami", True),
    ),
    RETRIEVAL: (("clean R@1", "clean_r1", False), ("worst R@1", "worst_r1", True)),
}
"""For each scenario the columns of its metrics: title, field of `SeedScores`, and whether it stands out."""
BESIDE = {CLUSTERING: (("clean NMI", "clean_nmi", False), ("worst NMI", "worst_nmi", False))}
"""The columns of metrics that no rank follows."""


def percent(mean: float, std: float | None = None) -> str:
    """Formats a fraction in percent with one decimal, with its standard deviation where there is one."""
    if isnan(mean):
        return NONE
    deviation = "" if std is None or isnan(std) else f" ± {100 * std:.1f}"
    return f"{100 * mean:.1f}{deviation}"


def times(value: float) -> str:
    """Formats a cost that is a multiple of another, as in "1.25" or "12"."""
    return NONE if isnan(value) else f"{value:.2f}" if value < 10 else f"{value:.0f}"


def rank_text(row: Row) -> str:
    """Formats a rank with its interval, as in "2 (1-3)"; a dash without a rank."""
    if row.rank is None:
        return NONE
    return str(row.rank) if row.rank_low is None else f"{row.rank} ({row.rank_low}-{row.rank_high})"


def main_board(table: Table) -> list[str]:
    """Builds the leaderboard, of nine columns at most; a scenario that was not run has no columns."""
    columns: list[tuple[str, str, list[str]]] = [
        ("rank", "---", [rank_text(row) for row in table.rows]),
        (table.noun, "---", [marked(row) for row in table.rows]),
    ]
    for title, cells, bold in score_columns(table):
        shown = [f"**{cell}**" if bold and cell != NONE else cell for cell in cells]
        columns.append((f"{title}, %", "---:", shown))
    title, cells = main_cost(table)
    columns += [(title, "---:", cells), ("checks", "---", [_checks(row) for row in table.rows])]
    return lines(columns)


def details_board(table: Table) -> list[str]:
    """Builds the table of what the leaderboard has no room for: NMI, worst attacks, costs, failed cells."""
    columns = [(table.noun, "---", [marked(row) for row in table.rows])]
    columns += [(f"{title}, %", "---:", cells) for title, cells, _ in score_columns(table, BESIDE)]
    for scenario, metric, name in METRICS:
        if table.has(scenario):
            worst = [code(table.names.attack(row.worst_attack(scenario, metric))) for row in table.rows]
            columns.append((f"worst attack, {name}", "---", worst))
    shown = main_cost(table)[0]
    columns += [(title, "---:", cells) for title, cells in cost_columns(table) if title != shown]
    columns.append(("failed cells", "---:", [_failed(row) for row in table.rows]))
    return lines(columns)


def score_columns(
    table: Table, scores: Mapping[str, Sequence[tuple[str, str, bool]]] | None = None
) -> list[tuple[str, list[str], bool]]:
    """The columns of clean and worst-case metrics in percent: title, cells, and whether they stand out.

    Args:
        table: the table.
        scores: for each scenario its columns, as in `SCORES`, which are taken if none are given.
    """
    of_each = SCORES if scores is None else scores
    return [
        (title, [percent(row.mean(name), row.std(name)) for row in table.rows], bold)
        for scenario, columns in of_each.items()
        if table.has(scenario)
        for title, name, bold in columns
    ]


def main_cost(table: Table) -> tuple[str, list[str]]:
    """The column of the cost that the leaderboard shows: of training, or of embedding where none was done."""
    costs = cost_columns(table)
    return costs[0] if any(row.trained for row in table.rows) or not table.own_models else costs[-1]


def cost_columns(table: Table) -> list[tuple[str, list[str]]]:
    """The columns of costs: title and cells."""
    return [
        ("train cost \u00d7", [times(row.training("relative_cost")) for row in table.rows]),
        ("epochs", [_epochs(row) for row in table.rows]),
        ("embed cost \u00d7", [times(row.embed_cost) for row in table.rows]),
    ]


def attacks_board(table: Table) -> list[str]:
    """Builds the table of each attack against each row: a row for each attack.

    An attack that follows others has what is left after it and those before it, with a double dagger.
    """
    shown = [(scenario, metric) for scenario, metric, _ in METRICS if table.has(scenario)]

    def joined(values: Iterable[float], remaining: Iterable[float] = ()) -> str:
        cells = [percent(value) for value in values]
        for place, value in enumerate(remaining):
            cells[place] = cells[place] if isnan(value) else f"{percent(value)} {AFTER}"
        return NONE if set(cells) == {NONE} else " / ".join(cells)

    attacks = scored_here(table)
    columns = [("attack", "---", ["*clean*", *map(code, map(table.names.attack, attacks)), "**worst case**"])]
    for row in table.rows:
        alone = [row.standalone(scenario, metric) for scenario, metric in shown]
        after = [row.remaining(scenario, metric) for scenario, metric in shown]
        cells = [
            joined(*([values.get(attack, float("nan")) for values in found] for found in (alone, after)))
            for attack in attacks
        ]
        clean = joined(row.mean(f"clean_{metric}") for _, metric in shown)
        worst = joined(row.mean(f"worst_{metric}") for _, metric in shown)
        columns.append((named(row), "---:", [clean, *cells, worst]))
    return lines(columns)


def checks_board(table: Table, meanings: Mapping[str, str]) -> list[str]:
    """Builds the table of the deciding value of each check for each row, in percent: a row for each check.

    Args:
        table: the table.
        meanings: when each check fails, in a line, by its name.

    Returns:
        Lines of Markdown, without the checks of `checks_at_zero`; none where no other is there.
    """
    shown = [name for name in meanings if name not in checks_at_zero(table, meanings)]
    if not shown:
        return []
    columns = [
        ("check", "---", [code(name) for name in shown]),
        ("fails when", "---", [text(meanings[name].rstrip(".")) for name in shown]),
    ]
    columns += [(marked(row), "---:", [_deciding(row.checks[name]) for name in shown]) for row in table.rows]
    return lines(columns)


def checks_at_zero(table: Table, names: Iterable[str]) -> list[str]:
    """The checks that are shown as 0 for every row that they were run for, so that they need no line."""
    return [name for name in names if {_deciding(row.checks[name]) for row in table.rows} - {NONE} == {"0.0"}]


def scored_here(table: Table) -> list[str]:
    """Lists the attacks of the suite that are scored in the two scenarios that the board is ranked by."""
    found = {
        cell.key.attack
        for row in table.rows
        for cell in row.of_budget
        if cell.key.scenario in (CLUSTERING, RETRIEVAL)
    }
    return [attack for attack in table.attacks if attack in found]


def marked(row: Row) -> str:
    """Formats a row's name as `named` does, with a dagger when it fails a check."""
    return f"{named(row)} {MARK}" if row.failing else named(row)


def _epochs(row: Row) -> str:
    """Formats the epochs trained and, where it is not the last, the kept epoch in parentheses; seed means."""
    trained, kept = (row.training(name) for name in ("epochs", "best_epoch"))
    if isnan(trained):
        return NONE
    shown = [f"{value:.0f}" if value == round(value) else f"{value:.1f}" for value in (trained, kept)]
    return shown[0] if kept in (0, trained) else f"{shown[0]} ({shown[1]})"


def _deciding(check: RowCheck) -> str:
    if check.status == NOT_RUN or check.value is None:
        return NONE
    value = f"{round(100 * check.value, 1) + 0.0:.1f}"  # no minus before a zero
    return f"**{value}** {MARK}" if check.status == "fail" else value


def _checks(row: Row) -> str:
    if row.failing:
        return f"**fails** {', '.join(map(code, row.failing))}"
    return told(row.checks)


def _failed(row: Row) -> str:
    return f"**{len(row.failed)}** of {len(row.cells)}" if row.failed else "0"


def lines(columns: Sequence[tuple[str, str, list[str]]]) -> list[str]:
    """Joins columns of (head, alignment, cells) to the lines of a Markdown table."""
    heads, alignments, cells = zip(*columns, strict=True)
    return [f"| {' | '.join(line)} |" for line in (heads, alignments, *zip(*cells, strict=True))]
