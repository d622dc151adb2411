"""The tables of each attack against each row, and of the deciding value of each check for each row."""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan, nan

from benchmark.report.boards import AFTER, MARK, percent, scored_here
from benchmark.report.checks import NOT_RUN, RowCheck, with_status
from benchmark.report.escapes import NONE
from benchmark.report.page import row_labels
from benchmark.report.page.boards import SCENARIOS, record
from benchmark.report.page.grid import Column, Grid, Line, Mark, Value, exact, number, one_line, spec
from benchmark.report.page.settings import of_table
from benchmark.report.rows import Row
from benchmark.report.style import METRICS
from benchmark.report.tables import Table

FOLLOWS = Mark(AFTER, "what is left after it and the attacks before it")
FAILS = Mark(MARK, "fails")


def attack_grids(table: Table, place: int) -> list[Grid]:
    """Builds a table for each of the two ranked scenarios: a line for each attack, a column for each row.

    Args:
        table: the table.
        place: its position among all tables of the run.
    """
    return [
        _grid(table, place, scenario, metric)
        for scenario, metric in SCENARIOS
        if _has(table, scenario, metric)
    ]


def checks_grid(table: Table, place: int, meanings: Mapping[str, str]) -> Grid | None:
    """Builds the table of the deciding value of each check for each row; None where none was run.

    Args:
        table: the table.
        place: its position among all tables of the run.
        meanings: when each check fails, in a line, by its name.
    """
    if not any(with_status(row.checks, "pass") or row.failing for row in table.rows):
        return None
    columns = [Column("check"), Column("fails when"), *_rows(table)]
    lines = [
        Line(
            [
                spec(name),
                Value(one_line(meaning.rstrip(".")), is_prose=True),
                *(_deciding(row.checks[name]) for row in table.rows),
            ]
        )
        for name, meaning in meanings.items()
    ]
    caption = f"Deciding value of each check in percent, {table.heading}"
    return Grid(f"checks-{place}", caption, columns, lines, 0, of_table(table).fixed)


def _has(table: Table, scenario: str, metric: str) -> bool:
    return any(
        not isnan(value)
        for row in table.rows
        for found in (row.standalone(scenario, metric), row.remaining(scenario, metric))
        for value in found.values()
    )


def _grid(table: Table, place: int, scenario: str, metric: str) -> Grid:
    lines = [Line([Value("clean"), *(_whole(row, f"clean_{metric}") for row in table.rows)])]
    under = [_UnderAttacks(table, row, scenario, metric) for row in table.rows]
    for attack in scored_here(table):
        values = [row.value(attack) for row in under]
        if any(value.text != NONE for value in values):
            lines.append(Line([_named(table, attack), *values]))
    lines.append(Line([Value("worst case"), *(_whole(row, f"worst_{metric}") for row in table.rows)]))
    caption = f"{METRICS[metric]} in percent under each attack, {table.heading}"
    setting = {**of_table(table).fixed, "scenario": scenario}
    columns = [Column("attack", "attack"), *_rows(table)]
    return Grid(f"attacks-{place}-{metric}", caption, columns, lines, 0, setting)


def _named(table: Table, attack: str) -> Value:
    """The short name of an attack, and its full name on hover and focus."""
    return spec(table.names.attack(attack), one_line(table.names.short(attack)))


def _rows(table: Table) -> list[Column]:
    return [
        Column(
            one_line(row.name),
            numeric=True,
            first="descending",
            is_code=True,
            marks=row_labels.marks(row),
        )
        for row in table.rows
    ]


def _whole(row: Row, field: str) -> Value:
    mean = row.mean(field)
    lines = [exact(mean), *(f"seed {seed.seed}: {exact(getattr(seed, field))}" for seed in row.seeds)]
    return number(percent(mean), mean, "\n".join(lines), strong=True)


class _UnderAttacks:
    """The metric of a row under each attack: alone, or what is left after it where it follows others."""

    def __init__(self, table: Table, row: Row, scenario: str, metric: str) -> None:
        self._name, self._names, self._metric = one_line(row.name), table.names, metric
        self._alone, self._after = row.standalone(scenario, metric), row.remaining(scenario, metric)
        self._cells = row.attacked(scenario)

    def value(self, attack: str) -> Value:
        """The metric under one attack; a dash where there is none."""
        value = self._after.get(attack, self._alone.get(attack, nan))
        if isnan(value):
            return Value(NONE, nan)
        marks = (FOLLOWS,) if attack in self._after else ()
        lines = [f"{self._name} under {one_line(self._names.short(attack))}: {exact(value)}"]
        lines += [
            f"seed {cell.key.seed}: {exact(cell.metric(self._metric))}, {record(cell)}"
            for cell in self._cells.get(attack, [])
        ]
        return number(percent(value), value, "\n".join(lines), marks=marks, bar=value, fill="heat")


def _deciding(check: RowCheck) -> Value:
    if check.status == NOT_RUN or check.value is None:
        return Value(NONE, nan)
    fails = check.status == "fail"
    detail = f"{check.status}, seed {check.seed}: {exact(check.value)}\n{one_line(check.explanation)}"
    text = f"{round(100 * check.value, 1) + 0.0:.1f}"  # no minus before a zero
    return number(text, check.value, detail, marks=(FAILS,) if fails else (), strong=fails)
