"""The notes below a table: what its checks found, missing ranks, and costs that are not as promised."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from benchmark.core.parameters import parse_fraction
from benchmark.core.spec import parse_spec
from benchmark.records import ModelRecord
from benchmark.report.boards import times
from benchmark.report.checks import NOT_RUN, with_status
from benchmark.report.escapes import code, text
from benchmark.report.rows import Row
from benchmark.report.tables import EQUAL_PASSES, Table
from benchmark.report.worst_case import mean

SPREAD = 0.05
"""Deviation of a cost from what the table promises that is told, as a fraction of what it promises."""


def row_notes(table: Table, budget: float) -> list[str]:
    """Writes a line for each thing that a reader must know of a row and that its metrics do not show.

    Args:
        table: the table.
        budget: cost units of a training under equal passes, for each image and epoch of the recipe.
    """
    notes = [f"{code(row.name)} has no rank: {_clause(row.unranked)}." for row in table.rows if row.unranked]
    notes += _fewer_seeds(table)
    if table.key.compute == EQUAL_PASSES:
        notes += _each(table, lambda row: _spread(row, budget))
    notes += _each(table, _teacher)
    notes += _each(table, _stand_in)
    said: dict[str, list[str]] = {}
    for row in table.rows:
        for clause in dict.fromkeys(note for model in row.models for note in model.notes):
            said.setdefault(_clause(clause), []).append(code(row.name))
    return notes + [f"{', '.join(rows)}: {clause}." for clause, rows in said.items()]


def unattacked_notes(table: Table) -> list[str]:
    """Writes a line for each row of which attacks were left out, because nothing was left to attack."""
    return _each(table, _unattacked)


def check_notes(table: Table) -> list[str]:
    """Writes a line for each check that a row fails, and for each that was not run for some rows."""
    notes = []
    for row in table.rows:
        for name in row.failing:
            check = row.checks[name]
            seed = f" (seed {check.seed})" if row.n_seeds > 1 else ""
            notes.append(f"{code(row.name)} **fails** {code(name)}: {text(check.explanation)}{seed}.")
    lacking: dict[tuple[str, str], list[str]] = {}
    for row in table.rows:
        for name in with_status(row.checks, NOT_RUN):
            lacking.setdefault((name, row.checks[name].explanation), []).append(code(row.name))
    for (name, explanation), rows in lacking.items():
        whose = "any row" if len(rows) == len(table.rows) else ", ".join(rows)
        notes.append(
            f"{code(name)} was not run for {whose}{f': it {text(explanation)}' if explanation else ''}."
        )
    return notes


def _each(table: Table, note: Callable[[Row], str]) -> list[str]:
    return [line for line in map(note, table.rows) if line]


def _trained(row: Row) -> list[ModelRecord]:
    return [model for model in row.models if model.status == "done"] if row.trained else []


def _fewer_seeds(table: Table) -> list[str]:
    """Says which rows have fewer training seeds than others, as in a merge of runs with different ones."""
    seeds = {row.name: {cell.key.seed for cell in row.cells} for row in table.rows if row.trained}
    every = set().union(*seeds.values())
    fewer: dict[str, list[str]] = {}
    for name, own in seeds.items():
        if own < every:
            listed = ", ".join(map(str, sorted(own)))
            fewer.setdefault(f"only {len(own)} of {len(every)} training seeds ({listed})", []).append(
                code(name)
            )
    return [f"{', '.join(names)}: {what}." for what, names in fewer.items()]


def _spread(row: Row, budget: float) -> str:
    """Says by how much a row's cost is off, of the seed where it is most; empty within the tolerance."""
    costs = [model.relative_cost for model in _trained(row)]
    if not costs or budget <= 0:
        return ""
    promised = budget / 3 * float(parse_fraction(parse_spec(row.defense).parameters.get("epochs_scale", "1")))
    worst = max(costs, key=lambda cost: abs(cost - promised))
    off = worst / promised - 1
    if abs(off) <= SPREAD:
        return ""
    much = f"{100 * abs(off):.0f} % {'more' if off > 0 else 'less'}"
    return (
        f"Training {code(row.name)} cost {times(worst)} times vanilla training, {much} than the "
        f"{times(promised)} that equal passes promise."
    )


def _unattacked(row: Row) -> str:
    """Says which attacks were left out because what was left to attack was at or below chance, or nothing."""
    if not row.left_out:
        return ""
    attacks = len({attack for found in row.left_out.values() for attack in found})
    return f"{code(row.name)}, {attacks} of its attacks: {'; '.join(map(_clause, row.left_out))}."


def _stand_in(row: Row) -> str:
    """Says that a row declares a stand-in for its gradient, which is checked less closely."""
    clean = [cell.record for cell in row.of_budget if cell.ref.role == "clean" and cell.record]
    if not any(record.diagnostics.get("stand_in") for record in clean):
        return ""
    return (
        f"{code(row.name)} declares a stand-in for its gradient (BPDA), which the check "
        f"{code('wrong_gradient')} compares less closely."
    )


def _teacher(row: Row) -> str:
    teacher = mean(model.teacher_cost for model in _trained(row))
    if not teacher > 0:
        return ""
    whole = row.training("relative_cost")
    return f"The train cost of {code(row.name)} includes its teacher's: {times(teacher)} of {times(whole)}."


def _clause(sentence: str) -> str:
    return text(sentence).rstrip(".")


def running_note(rows: Iterable[Row]) -> str:
    """Explains why what attacks leave together may be below a worst case, after a space; else empty."""
    if not any(row.randomised and any(cell.follows_others for cell in row.cells) for row in rows):
        return ""
    return " Of a randomized row that is a minimum over noisy means, and may be below its worst case."
