"""Clean and worst metrics of the scenarios beside the two that the board is ranked by."""

from __future__ import annotations

from math import isnan

from benchmark.core.spec import parse_spec
from benchmark.report.boards import lines, marked, percent
from benchmark.report.cell_results import CLUSTERING, RETRIEVAL, CellResult
from benchmark.report.escapes import NONE, code
from benchmark.report.rows import Row, at_eps
from benchmark.report.tables import Table
from benchmark.report.worst_case import mean

METRIC_NAMES = {
    "ami": "AMI",
    "r1": "R@1",
    "tar_far_1e2": "TAR at FAR 1e-2",
    "tar_far_1e3": "TAR at FAR 1e-3",
    "eer": "EER",
}
HIGHER_IS_WORSE = ("eer",)


def scenarios_board(table: Table) -> list[str]:
    """Builds the table of clean and worst metrics of every other scenario; empty when there is none.

    These are metrics of a whole pool, so the worst is that of one attack of the suite at the table's budget.
    """
    shown = [
        (scenario, metric)
        for scenario in sorted({cell.key.scenario for row in table.rows for cell in row.cells})
        for metric in METRIC_NAMES
        if scenario not in (CLUSTERING, RETRIEVAL) and _has(table, scenario, metric)
    ]
    if not shown:
        return []
    names = [f"{code(scenario)}, {METRIC_NAMES[metric]}" for scenario, metric in shown]
    columns = [(marked(row), "---:", [_clean_and_worst(row, *pair) for pair in shown]) for row in table.rows]
    return lines([("scenario", "---", names), *columns])


def _has(table: Table, scenario: str, metric: str) -> bool:
    if metric == "ami" and parse_spec(scenario).name != CLUSTERING:
        return False
    return any(not isnan(cell.metric(metric)) for row in table.rows for cell in _of(row, scenario))


def _of(row: Row, scenario: str) -> list[CellResult]:
    return [cell for cell in row.cells if cell.done and cell.key.scenario == scenario]


def _clean_and_worst(row: Row, scenario: str, metric: str) -> str:
    clean, worst = [], []
    for seed in row.seeds:
        cells = [cell for cell in _of(row, scenario) if cell.key.seed == seed.seed]
        own = [cell.metric(metric) for cell in cells if cell.ref.role == "clean"]
        clean += own
        attacked = [
            cell.metric(metric) for cell in cells if cell.ref.role == "suite" and at_eps(cell, row.eps)
        ]
        if attacked:
            every = [*attacked, *own]
            worst.append(max(every) if metric in HIGHER_IS_WORSE else min(every))
    shown = [percent(mean(values)) for values in (clean, worst)]
    return NONE if shown == [NONE, NONE] else " \u2192 ".join(shown)
