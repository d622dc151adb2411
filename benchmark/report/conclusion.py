"""The conclusion of a table in three sentences: who is most robust, what the controls say, what to doubt."""

from __future__ import annotations

from math import isnan

from benchmark.report.boards import percent, times
from benchmark.report.doubts import doubts
from benchmark.report.escapes import code
from benchmark.report.rows import Row
from benchmark.report.standing import NAMED, Standing, behind, names_of
from benchmark.report.tables import Table

UNDEFENDED = "vanilla"
"""The spec of the row without a defense."""


def conclude(table: Table) -> tuple[str, ...]:
    """Concludes from the values of a ranked table, in three sentences.

    Args:
        table: the table, ranked.

    Returns:
        Who is most robust, by how much and at what cost; what controls, references and the undefended row
        say; and what not to believe. Markdown whose only markup are code spans.
    """
    return _winner(table), _controls(table), doubts(table)


def _winner(table: Table) -> str:
    standing = Standing.of(table)
    said = standing.say(
        lambda row: code(row.name), lambda row: _kept(row, standing.metrics), _without_rank(table, standing)
    )
    if len(standing.best) != 1:
        return f"{said}."
    first, *rest = standing.ranked
    if not rest:
        return f"{said}{_costs(first)}."
    return f"{said}, {_margin(table, first, rest[0])}{_costs(first, rest[0])}."


def _without_rank(table: Table, standing: Standing) -> str:
    """Names the rows that have no rank, in parentheses, without references."""
    without = [row for row in table.rows if row.rank is None and not row.reference]
    if not without or not standing.ranked:
        return ""
    return f" ({names_of(without)} {'have' if len(without) > 1 else 'has'} no rank)"


def _kept(row: Row, metrics: list[tuple[str, str]]) -> str:
    """What a row keeps of each metric, as in "70.7 % AMI (clean 89.5 %) and 81.8 % R@1 (clean 95.5 %)"."""
    parts = []
    for metric, name in metrics:
        worst, clean = f"worst_{metric}", f"clean_{metric}"
        if not isnan(row.mean(worst)):
            of = "" if isnan(row.mean(clean)) else f" (clean {percent(row.mean(clean), row.std(clean))} %)"
            parts.append(f"{percent(row.mean(worst), row.std(worst))} % {name}{of}")
    return " and ".join(parts)


def _margin(table: Table, first: Row, second: Row) -> str:
    """By how many points the first row leads, as in "3.7 points of AMI and 3.0 of R@1 more than `b`"."""
    if first.tier < second.tier:
        return f"ahead of {code(second.name)}, which {behind(second)}"
    leads = [(_lead(first, second, metric), name) for metric, name in Standing.of(table).metrics]
    leads = [(lead, name) for lead, name in leads if not isnan(lead)]
    said = " and ".join(f"{100 * lead:+.1f} points of {name}" for lead, name in leads)
    return f"{said} compared with {code(second.name)}, the next{_unsettled_lead(table, first, second)}"


def _unsettled_lead(table: Table, first: Row, second: Row) -> str:
    """Says of which metrics the run does not settle the lead, in a clause; empty where it settles all."""
    metrics = [
        (metric, name)
        for metric, name in Standing.of(table).metrics
        if not isnan(_lead(first, second, metric))
    ]
    if any(table.settled(first, second, metric) is None for metric, _ in metrics):
        return ", which was not tested"
    unsettled = [(metric, name) for metric, name in metrics if not table.settled(first, second, metric)]
    if not unsettled:
        return ""
    which = "" if len(unsettled) == len(metrics) else f" in {unsettled[0][1]}"
    what = "lead" if all(_lead(first, second, metric) > 0 for metric, _ in unsettled) else "difference"
    return f", a {what}{which} that the run does not settle"


def _lead(first: Row, second: Row, metric: str) -> float:
    return first.mean(f"worst_{metric}") - second.mean(f"worst_{metric}")


def _costs(first: Row, second: Row | None = None) -> str:
    """What a row costs, and the next one; empty where that is not known."""
    fields = (
        ("training", "\u00d7 vanilla training", lambda row: row.training("relative_cost")),
        ("embedding", "\u00d7 embedding an image", lambda row: row.embed_cost),
    )
    parts = []
    for _, unit, cost in fields:
        value = cost(first)
        if isnan(value):
            continue
        other = float("nan") if second is None else cost(second)
        of = "" if isnan(other) or second is None else f" ({code(second.name)}: {times(other)})"
        parts.append(f"{times(value)} {unit}{of}")
    return f"; it costs {' and '.join(parts)}" if parts else ""


def _controls(table: Table) -> str:
    metrics = Standing.of(table).metrics
    if not metrics:
        return "Controls say nothing here, since no row has a rank."
    metric, name = metrics[0]
    scored = [row for row in table.rows if not isnan(row.mean(f"worst_{metric}"))]
    clauses = [
        _beside(table, row, control, metric, name)
        for control in scored
        for row in scored
        if row is not control and control.base in row.controls
    ]
    clauses += _lacking(scored)
    ranked = [row for row in scored if row.rank is not None]
    for reference in (row for row in scored if row.reference):
        clauses += _reference(reference, ranked, metric, name, table.noun)
    plain = next((row for row in scored if row.defense == UNDEFENDED), None)
    if plain is not None:
        clauses.append(_undefended(plain, ranked, metric, name, table.noun))
    if not clauses:
        return (
            "No control, reference or undefended row was run to compare with, so what a "
            f"{table.noun} adds is unknown."
        )
    return f"Controls: {'; '.join(clauses)}."


def _beside(table: Table, row: Row, control: Row, metric: str, name: str) -> str:
    pair = f"{percent(row.mean(f'worst_{metric}'))} and {percent(control.mean(f'worst_{metric}'))} % {name}"
    lead = _lead(row, control, metric)
    lower = max(row, control, key=lambda one: one.tier)
    if row.tier != control.tier:
        why = f", since {code(lower.name)} {behind(lower)}"
        return f"{code(row.name)} cannot be compared with its control {code(control.name)} ({pair}){why}"
    settled = table.settled(row, control, metric)
    if settled is None:
        verb, doubt = "keeps more than" if lead > 0 else "keeps no more than", ", which was not tested"
    else:
        verb = "does not differ clearly from" if not settled else "beats" if lead > 0 else "does not beat"
        doubt = ""
    return f"{code(row.name)} {verb} its control {code(control.name)} ({pair}){doubt}"


def _lacking(rows: list[Row]) -> list[str]:
    """Names the rows whose controls were not run, so that what they add to these is unknown."""
    there = {row.base for row in rows}
    lacking = [row for row in rows if row.controls and there.isdisjoint(row.controls)]
    said = [
        f"{names_of([row])} was run without its control {' or '.join(map(code, row.controls))}"
        for row in lacking
    ]
    if said:
        unknown = "its idea adds" if len(said) == 1 else "their ideas add"
        said[-1] += f", so this board does not say what {unknown}"
    return said


def _reference(reference: Row, rows: list[Row], metric: str, name: str, noun: str) -> list[str]:
    if not rows:
        return []
    worst = f"worst_{metric}"
    below = [row for row in rows if row.mean(worst) < reference.mean(worst)]
    kept = f"the reference {code(reference.name)} keeps {percent(reference.mean(worst))} % {name}"
    if len(rows) == 1:
        return [f"{kept}, {'more' if below else 'no more'} than the only ranked {noun}"]
    if len(below) == len(rows):
        return [f"{kept}, more than every one of the {len(rows)} ranked {noun}s"]
    which = f" ({names_of(below)})" if 0 < len(below) <= NAMED else ""
    nouns = f"{len(rows)} ranked {noun}s"
    than = f"{len(below)} of {nouns}{which}" if below else f"any of {nouns}"
    return [f"{kept}, {'more' if below else 'no more'} than {than}"]


def _undefended(plain: Row, ranked: list[Row], metric: str, name: str, noun: str) -> str:
    clean, kept = percent(plain.mean(f"clean_{metric}")), percent(plain.mean(f"worst_{metric}"))
    fall = "stays at" if clean == kept else "falls to"
    if clean != kept and not isnan(plain.mean(f"clean_{metric}")):
        fall = f"falls from {clean} to"
    others = [row for row in ranked if row is not plain]
    better = [row for row in others if row.mean(f"worst_{metric}") > plain.mean(f"worst_{metric}")]
    beaten = "" if better or not others else f", and no other ranked {noun} keeps more"
    return f"{code(plain.name)}, without a defense, {fall} {kept} % {name}{beaten}"
