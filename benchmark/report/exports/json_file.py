"""The results of a run as `results.json`."""

from __future__ import annotations

import json
from math import isfinite
from pathlib import Path
from typing import ClassVar

from benchmark.core.display_names import command_without_folders
from benchmark.core.files import write_atomically
from benchmark.records import Provenance
from benchmark.report.cell_results import CLUSTERING, RETRIEVAL, CellResult, Run
from benchmark.report.conclusion import conclude
from benchmark.report.exports.base import Export
from benchmark.report.exports.document import (
    VERSION,
    CellEntry,
    CheckOfRow,
    Document,
    RowResult,
    Scores,
    SeedResult,
    Source,
    TableResult,
)
from benchmark.report.rows import Row
from benchmark.report.tables import Table


class JsonExport(Export):
    """Writes `results.json`, which the schema `results.schema.json` of this package describes."""

    name: ClassVar[str] = "json"

    def write(self, run: Run, tables: list[Table], output: Path) -> list[Path]:
        """Writes the file, whose numbers are exact and finite."""
        path = output / "results.json"
        found = document(run, tables).model_dump(mode="json")
        text = json.dumps(found, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
        write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8", newline="\n"))
        return [path]


def document(run: Run, tables: list[Table]) -> Document:
    """Builds the document.

    Args:
        run: the run.
        tables: its tables, ranked.
    """
    made_by = [_source(cell.record.provenance) for cell in run.cells if cell.record]
    by_text = {source.model_dump_json(): source for source in made_by}
    places = {text: place for place, text in enumerate(sorted(by_text))}
    manifest = run.manifest
    return Document(
        version=VERSION,
        command=command_without_folders(manifest.command),
        suite=manifest.suite,
        source=_source(manifest.provenance),
        created=manifest.provenance.created,
        sources=[by_text[text] for text in places],
        skipped=manifest.skipped,
        tables=[_table(table) for table in tables],
        cells=[_cell(run, cell, places) for cell in run.cells],
    )


def _source(provenance: Provenance) -> Source:
    return Source(**provenance.model_dump(exclude={"created"}))


def _table(table: Table) -> TableResult:
    key = table.key
    return TableResult(
        dataset=table.dataset,
        backbone=table.backbone,
        loss=table.loss,
        norm=key.norm,
        eps=key.eps,
        compute=key.compute,
        suite=table.suite,
        conclusion=list(conclude(table)),
        rows=[_row(table, row) for row in table.rows],
    )


def _row(table: Table, row: Row) -> RowResult:
    names = list(Scores.model_fields)
    return RowResult(
        rank=row.rank,
        rank_low=row.rank_low,
        rank_high=row.rank_high,
        defense=row.name,
        reference=row.reference,
        control_of=list(row.control_of),
        source=row.source,
        unranked=row.unranked,
        mean=Scores(**{name: _known(row.mean(name)) for name in names}),
        std=Scores(**{name: _known(row.std(name)) for name in names}),
        seeds=[
            SeedResult(seed=seed.seed, scores=Scores(**{name: _known(getattr(seed, name)) for name in names}))
            for seed in row.seeds
        ],
        worst_attack_clustering=table.names.short(row.worst_attack(CLUSTERING, "ami")),
        worst_attack_retrieval=table.names.short(row.worst_attack(RETRIEVAL, "r1")),
        train_cost=_known(row.training("relative_cost")),
        train_seconds=_known(row.training("seconds")),
        epochs=_known(row.training("epochs")),
        best_epoch=_known(row.training("best_epoch")),
        embed_cost=_known(row.embed_cost),
        failed_cells=len(row.failed),
        checks=[
            CheckOfRow(
                name=name,
                status=check.status,
                value=None if check.value is None else _known(check.value),
                seed=check.seed,
                explanation=check.explanation,
            )
            for name, check in row.checks.items()
        ],
    )


def _cell(run: Run, cell: CellResult, places: dict[str, int]) -> CellEntry:
    key, record, short = cell.key, cell.record, run.names.short
    return CellEntry(
        id=cell.ref.id,
        model_id=cell.ref.model_id,
        dataset=short(key.dataset),
        backbone=short(key.backbone),
        loss=short(key.loss),
        defense=short(key.defense),
        seed=key.seed,
        scenario=key.scenario,
        attack=short(key.attack),
        norm=key.norm,
        eps=key.eps,
        role=cell.ref.role,
        compute=cell.compute,
        status=cell.status,
        reason=cell.reason,
        metrics={name: value for name, value in record.metrics.items() if isfinite(value)} if record else {},
        objective=None if record is None or record.objective is None else _known(record.objective),
        follows=record.follows if record else [],
        attacked_queries=record.attacked_queries if record else None,
        seconds=record.seconds if record else None,
        forward_passes=record.forward_passes if record else None,
        backward_passes=record.backward_passes if record else None,
        notes=[run.names.sentence(note) for note in record.notes] if record else [],
        created=record.provenance.created if record else None,
        provenance=places[_source(record.provenance).model_dump_json()] if record else None,
    )


def _known(value: float) -> float | None:
    return value if isfinite(value) else None
