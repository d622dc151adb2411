"""The page: `leaderboard.md`, from what the run holds and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmark.core.spec import parse_spec
from benchmark.report.figures import TableFigures
from benchmark.report.frames import join, provenances
from benchmark.report.outcomes import CLUSTERING, RETRIEVAL, Outcome, Run
from benchmark.report.reproduce import command
from benchmark.report.style import budget, format_eps
from benchmark.report.tables import Row, Table

TEMPLATE = "leaderboard.md.jinja"
SMALL_POOL = 10_000
NONE = "–"


@dataclass(frozen=True)
class Section:
    """One table of the page with all that stands under its heading."""

    table: Table
    figures: TableFigures
    clustering: bool
    retrieval: bool
    scores: list[tuple[str, list[str]]]
    command: str


def render(run: Run, tables: list[Table], figures: list[TableFigures], output: Path) -> str:
    """Fills the template.

    Args:
        run: the run.
        tables: its tables, ranked.
        figures: the figures of each table.
        output: the folder of the page, which links are relative to.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown, not HTML; `text` and `code` below guard the table cells
    )
    filters: dict[str, Callable[..., str]] = {
        "percent": percent,
        "times": _times,
        "code": _code,
        "text": _text,
        "link": lambda path: path.relative_to(output).as_posix(),
    }
    environment.filters |= filters
    text = environment.get_template(TEMPLATE).render(**_context(run, tables, figures))
    return text.strip() + "\n"


def percent(mean: float, std: float | None = None) -> str:
    """A fraction in percent with one decimal, and its standard deviation where there is one."""
    if isnan(mean):
        return NONE
    spread = "" if std is None or isnan(std) else f" ± {100 * std:.1f}"
    return f"{100 * mean:.1f}{spread}"


def _times(value: float) -> str:
    return NONE if isnan(value) else f"{value:.2f} ×" if value < 10 else f"{value:.0f} ×"


def _text(value: str) -> str:
    return " ".join(value.replace("|", "\\|").split())


def _code(value: str) -> str:
    return f"`{_text(value)}`" if value else NONE


def _context(run: Run, tables: list[Table], figures: list[TableFigures]) -> dict[str, Any]:
    manifest = run.manifest
    rows = [row for table in tables for row in table.rows]
    made_by = [provenance for row in rows for provenance in provenances(row)]
    keys = [outcome.key for outcome in run.outcomes]
    attacked = [outcome for outcome in run.outcomes if outcome.ref.role != "clean"]
    suite_attacks = sorted({o.key.attack for o in attacked if o.ref.role == "suite"})
    curve = [outcome for outcome in attacked if outcome.ref.role == "curve"]
    defenses = sorted({key.defense for key in keys})
    return {
        "manifest": manifest,
        "sections": [_section(run, table, drawn) for table, drawn in zip(tables, figures, strict=True)],
        "scenarios": {key.scenario for key in keys},
        "pools": [_pool(run, dataset) for dataset in sorted({key.dataset for key in keys})],
        "backbones": sorted({key.backbone for key in keys}),
        "losses": sorted({key.loss for key in keys}),
        "defenses": [name for name in defenses if name not in manifest.references],
        "references": [name for name in defenses if name in manifest.references],
        "attacks": suite_attacks,
        "curve_attacks": sorted({o.key.attack for o in curve}),
        "curve_budgets": _budgets(curve),
        "budgets": _budgets([o for o in attacked if o.ref.role == "suite"]),
        "seeds": sorted({key.seed for key in keys}),
        "commits": join(provenance.commit for provenance in made_by),
        "hardware": join(provenance.hardware for provenance in made_by),
        "protocols": join(provenance.protocol for provenance in made_by),
        "date": manifest.provenance.created[:10],
        "bases": {parse_spec(name).name for name in defenses},
        "done": sum(outcome.done for outcome in run.outcomes),
        "total": len(run.outcomes),
        "problems": _problems(run.outcomes),
        "overlapping": any(row.rank_low != row.rank_high for row in rows),
        "small_pools": SMALL_POOL,
        "describe": lambda spec: _description(manifest.descriptions, spec),
    }


def _section(run: Run, table: Table, figures: TableFigures) -> Section:
    first = next((row for row in table.rows if not row.reference), table.rows[0])
    return Section(
        table=table,
        figures=figures,
        clustering=table.has(CLUSTERING),
        retrieval=table.has(RETRIEVAL),
        scores=_standalone(table),
        command=command(run.manifest, table, first),
    )


def _standalone(table: Table) -> list[tuple[str, list[str]]]:
    """Each attack of the suite with its figures alone against each row, as text."""
    both = [(CLUSTERING, "ami"), (RETRIEVAL, "r1")]
    shown = [(scenario, metric) for scenario, metric in both if table.has(scenario)]

    def joined(figures: Iterable[float]) -> str:
        texts = [percent(figure) for figure in figures]
        return NONE if set(texts) == {NONE} else " / ".join(texts)

    lines = [("*clean*", [joined(row.mean(f"clean_{m}") for _, m in shown) for row in table.rows])]
    for attack in table.attacks:
        scores = [joined(row.standalone(s, m).get(attack, float("nan")) for s, m in shown) for row in table.rows]
        lines.append((_code(attack), scores))
    lines.append(("**worst case**", [joined(row.mean(f"worst_{m}") for _, m in shown) for row in table.rows]))
    return lines


def _pool(run: Run, dataset: str) -> dict[str, Any]:
    """The size of a data set's test pool, as far as arrays tell it."""
    for outcome in run.outcomes:
        if outcome.key.dataset == dataset and outcome.done and outcome.key.scenario == CLUSTERING:
            labels = run.arrays(outcome).get("labels")
            if labels is not None:
                return {"name": dataset, "images": len(labels), "classes": len(set(labels.tolist()))}
    for outcome in run.outcomes:
        if outcome.key.dataset == dataset and outcome.done and outcome.key.scenario == RETRIEVAL:
            return {"name": dataset, "images": len(run.arrays(outcome)["success"]), "classes": 0}
    return {"name": dataset, "images": 0, "classes": 0}


def _budgets(outcomes: list[Outcome]) -> list[str]:
    pairs = sorted({(outcome.key.norm, outcome.key.eps) for outcome in outcomes})
    return [budget(norm, eps) for norm, eps in pairs]


def _problems(outcomes: list[Outcome]) -> list[dict[str, Any]]:
    """The cells without figures: those of one model, status and reason in one line."""
    groups: dict[tuple[str, ...], list[Outcome]] = {}
    for outcome in outcomes:
        if not outcome.done:
            key = outcome.key
            model = (key.dataset, key.backbone, key.loss, key.defense, str(key.seed))
            groups.setdefault((*model, outcome.status, outcome.reason), []).append(outcome)
    return [
        {
            "model": f"{dataset}, {backbone}, {loss}",
            "defense": defense,
            "seed": seed,
            "status": status,
            "reason": reason,
            "cells": _cell_names(cells),
        }
        for (dataset, backbone, loss, defense, seed, status, reason), cells in groups.items()
    ]


def _cell_names(cells: list[Outcome], limit: int = 4) -> str:
    names = sorted(
        {
            "clean" if cell.ref.role == "clean" else f"{cell.key.attack} at {format_eps(cell.key.eps)}"
            for cell in cells
        }
    )
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"{len(cells)}: {', '.join(names[:limit])}{more}"


def _description(descriptions: dict[str, str], spec: str) -> str:
    return descriptions.get(spec, "")


def interval(row: Row) -> str:
    """A rank with its interval, as in "2 (1-3)"."""
    if row.rank is None:
        return NONE
    return f"{row.rank}" if row.rank_low is None else f"{row.rank} ({row.rank_low}–{row.rank_high})"
