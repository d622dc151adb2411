"""What both pages are made from in the same way: how a template is filled, and what is said of a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmark.records.provenance import commit
from benchmark.report.cell_results import Run
from benchmark.report.conclusion import conclude
from benchmark.report.csv_files import join, provenances
from benchmark.report.notes import check_notes, row_notes, unattacked_notes
from benchmark.report.problems import problems
from benchmark.report.tables import Table
from benchmark.report.verdict import verdict


def fill(
    template: Path, filters: Mapping[str, Callable[..., Any]], values: Mapping[str, Any], html: bool
) -> str:
    """Fills a template.

    Args:
        template: the file; what it includes lies beside it.
        filters: its filters by name.
        values: its values by name; one that it lacks is an error.
        html: whether values are escaped for HTML. Markdown escapes what comes from outside by a filter.

    Returns:
        The text, which ends with a line feed.
    """
    environment = Environment(
        loader=FileSystemLoader(template.parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=html,
    )
    environment.filters |= filters
    return environment.get_template(template.name).render(**values).strip() + "\n"


def said_of_run(run: Run, tables: Sequence[Table]) -> dict[str, Any]:
    """What both pages say of a run: what made its records, and what failed."""
    rows = [row for table in tables for row in table.rows]
    made_by = [provenance for row in rows for provenance in provenances(row)]
    return {
        "commits": sorted({provenance.commit for provenance in made_by}),
        "report_commit": commit(),
        "protocols": join(provenance.protocol for provenance in made_by),
        "hardware": ", ".join(sorted({provenance.hardware for provenance in made_by})),
        "date": run.manifest.provenance.created[:10],
        "problems": problems(run),
        "failing": any(row.failing for row in rows),
    }


def said_of_table(run: Run, table: Table) -> dict[str, Any]:
    """What both pages say of a table, beside its values."""
    return {
        "conclusion": conclude(table),
        "verdicts": [(row.name, verdict(table, row)) for row in table.own_models],
        "notes": row_notes(table, run.manifest.budget),
        "unattacked": unattacked_notes(table) if table.lead else [],
        "check_notes": check_notes(table),
    }
