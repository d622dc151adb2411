"""What the scores of a user's own model mean, in three lines of words."""

from __future__ import annotations

from math import isnan, nan

from benchmark.report.boards import percent
from benchmark.report.cell_results import CLUSTERING, RETRIEVAL, Run
from benchmark.report.checks import NOT_RUN, with_status
from benchmark.report.rows import Row
from benchmark.report.style import budget
from benchmark.report.tables import Table
from benchmark.report.worst_case import mean

COMPARED = {"pixels": "raw pixels keep", "vanilla": "vanilla keeps"}
"""The rows that own models are compared with, where they are in the table, by spec."""
SAME_SCORE = 0.0005
"""Scores that differ by less are shown as the same."""


def verdict_lines(run: Run, tables: list[Table]) -> list[str]:
    """Writes the verdicts on every own model of every table as plain text.

    Args:
        run: the run.
        tables: its tables, ranked.

    Returns:
        For each own model of each table a line that names both, and the three lines of `verdict`, indented;
        empty in a run without own models.
    """
    return [
        line
        for table in tables
        for row in table.own_models
        for line in (f"{row.name} on {table.heading}:", *(f"  {line}" for line in verdict(table, row)))
    ]


def verdict(table: Table, row: Row) -> list[str]:
    """Says what an attacker does to retrieval, what to clustering, and how far to believe it: a line each.

    Args:
        table: the table, whose other rows the row is compared with.
        row: one of its rows.
    """
    return [
        f"Retrieval: {_effect(table, row, RETRIEVAL, 'r1', 'R@1')}",
        f"Clustering: {_effect(table, row, CLUSTERING, 'ami', 'AMI')}",
        f"What to believe: {_belief(row, table.only_noise)}",
    ]


def _effect(table: Table, row: Row, scenario: str, metric: str, name: str) -> str:
    if not table.has(scenario):
        return "not run."
    clean, worst = row.mean(f"clean_{metric}"), row.mean(f"worst_{metric}")
    if isnan(worst):
        known = "" if isnan(clean) else f"; without one, {name} is {percent(clean)} %"
        return f"no attack on it is done{known}."
    who = "random noise" if table.only_noise else "an attacker"
    attacker = f"{who} with a budget of {budget(table.key.norm, table.key.eps)}"
    if isnan(clean):
        sentences = [f"{attacker} leaves {name} at {percent(worst)} %; without one it is not known."]
    elif clean - worst < SAME_SCORE:
        sentences = [f"{attacker} does not lower {name}, which is {percent(clean)} %."]
    else:
        sentences = [f"{attacker} lowers {name} from {percent(clean)} % to {percent(worst)} %."]
    chance = _chance(row) if scenario == RETRIEVAL else 0.0  # AMI is adjusted for chance
    if worst < chance - SAME_SCORE:
        sentences.append(f"That is below chance ({percent(chance)} %).")
    if compared := _compared(table, row, metric, worst):
        sentences.append(compared)
    if missing := sum(cell.key.scenario == scenario for cell in row.failed):
        have = "has" if missing == 1 else "have"
        sentences.append(f"{missing} of its cells {have} no metrics, so the worst case may be lower.")
    return " ".join(sentences)


def _compared(table: Table, row: Row, metric: str, worst: float) -> str:
    clauses = []
    others = {other.defense: other for other in table.rows if other is not row}
    for other in (others[spec] for spec in COMPARED if spec in others):
        kept, clean = other.mean(f"worst_{metric}"), other.mean(f"clean_{metric}")
        if isnan(kept):
            continue
        than = "as much" if abs(kept - worst) < SAME_SCORE else "more" if kept > worst else "less"
        of = "" if isnan(clean) else f" of {percent(clean)}"
        clauses.append(f"{COMPARED[other.defense]} {than} ({percent(kept)}{of} %)")
    sentence = ", ".join(clauses)
    return f"{sentence[0].upper()}{sentence[1:]}." if sentence else ""


def _chance(row: Row) -> float:
    """R@1 of a random embedding, as the clean cells say; nan where they do not."""
    clean = [cell for cell in row.cells if cell.ref.role == "clean" and cell.key.scenario == RETRIEVAL]
    return mean(cell.record.diagnostics.get("chance", nan) for cell in clean if cell.record)


def _belief(row: Row, only_noise: bool) -> str:
    passed, not_run = with_status(row.checks, "pass"), with_status(row.checks, NOT_RUN)
    sentences = [f"no rank: {row.unranked.rstrip('.')}."] if row.unranked else []
    if only_noise:
        sentences.append("random noise was the only attack, so what an attacker does is unknown.")
    sentences += [
        f"it fails the check {name}: {row.checks[name].explanation.rstrip('.')}." for name in row.failing
    ]
    if not row.checks or not (passed or row.failing):
        sentences.append("the checks were not run, so whether the scores are misleading is unknown.")
    elif len(passed) == len(row.checks):
        sentences.append(f"it passes all {len(passed)} checks, which is no proof.")
    else:
        sentences.append(f"{len(passed)} of {len(row.checks)} checks pass.")
    if not_run and (passed or row.failing):  # why not stands below the table
        sentences.append(f"Not run: {', '.join(not_run)}.")
    return " ".join(f"{sentence[:1].upper()}{sentence[1:]}" for sentence in sentences)
