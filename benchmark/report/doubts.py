"""What not to believe of a table: rows that fail or lack something, and orders that say nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmark.report.checks import NOT_RUN, with_status
from benchmark.report.rows import Row
from benchmark.report.standing import Standing, names_of
from benchmark.report.tables import Table


def doubts(table: Table) -> str:
    """Says what of a ranked table not to believe, in a sentence.

    Args:
        table: the table, ranked.
    """
    rows = [row for row in table.rows if not row.reference]
    clauses = []
    if failing := [row for row in rows if row.failing]:
        clauses.append(f"the scores of {names_of(failing)}, which fail checks")
    if lacking := [row for row in rows if row.failed]:
        clauses.append(f"the worst cases of {names_of(lacking)}, which lack cells, so they may be too high")
    clauses += _open_orders(table, [row for row in rows if row.rank is not None])
    if randomised := [row for row in rows if row.randomised]:
        clauses.append(f"the last digits of {names_of(randomised)}, whose embeddings are random")
    if rows and not any(with_status(row.checks, "pass") or row.failing for row in rows):
        clauses.append("that gradients were not masked, since the checks were not run")
    elif unchecked := [row for row in rows if with_status(row.checks, NOT_RUN) and not row.failing]:
        clauses.append(f"that {names_of(unchecked)} would pass every check, since some were not run")
    if table.only_noise:
        clauses.append("the worst cases, since random noise was the only attack")
    if any(row.trained for row in rows):
        seeds = max(row.n_seeds for row in rows)
        if seeds < 2:
            clauses.append("small differences, since there is one training seed")
    clauses.append("that a worst case is final, since a stronger attack can only lower it")
    return f"Do not believe {'; '.join(clauses)}."


def _open_orders(table: Table, ranked: Sequence[Row]) -> list[str]:
    """Names the groups of rows that follow each other in an order that says nothing, in clauses."""
    metrics = Standing.of(table).metrics
    if not metrics:
        return []
    metric, name = metrics[0]
    lost = [row for row in ranked if name == "AMI" and row.mean(f"worst_{metric}") <= 0]
    at_chance = {row.defense for row in lost}  # whose order says nothing, settled or not
    groups = [
        group
        for group in _groups(table, ranked, metric)
        if any(row.defense not in at_chance for row in group)
    ]
    clauses = []
    if groups:
        named = ", or of ".join(names_of(group) for group in groups)
        clauses.append(f"the order of {named}, which the run does not settle")
    if len(lost) > 1:
        clauses.append(f"the order of {names_of(lost)}, which keep no more {name} than chance")
    return clauses


def _groups(table: Table, ranked: Sequence[Row], metric: str) -> Iterable[list[Row]]:
    """The longest groups of rows that follow each other, of which no two are settled to differ."""
    before = 0
    for start, first in enumerate(ranked):
        end = start + 1
        while end < len(ranked) and all(
            one.tier == ranked[end].tier and table.settled(one, ranked[end], metric) is False
            for one in ranked[start:end]
        ):
            end += 1
        if end - start > 1 and end > before:
            yield [first, *ranked[start + 1 : end]]
        before = max(before, end)
