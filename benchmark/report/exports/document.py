"""The document `results.json`: the results of a run as typed data, and its JSON schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

VERSION = "1"
SCHEMA_FILE = Path(__file__).with_name("results.schema.json")
"""The schema that is shipped with the package: what `document_schema` returns."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Part):
    """What made records: protocol version, commit, versions of packages and hardware."""

    protocol: str
    commit: str
    packages: dict[str, str]
    hardware: str


class Scores(_Part):
    """Scores as fractions; null where there is none."""

    clean_ami: float | None
    worst_ami: float | None
    clean_nmi: float | None
    worst_nmi: float | None
    clean_r1: float | None
    worst_r1: float | None


class SeedResult(_Part):
    """The scores of the model of one training seed."""

    seed: int
    scores: Scores


class CheckOfRow(_Part):
    """The result of a check over the seeds of a row; value and seed are null where it was not run."""

    name: str
    status: str
    value: float | None
    seed: int | None
    explanation: str


class RowResult(_Part):
    """A row of a table: names as the page shows them; means and sample deviations over the seeds."""

    rank: int | None
    rank_low: int | None
    rank_high: int | None
    defense: str
    reference: bool
    control_of: list[str]
    source: str
    unranked: str
    mean: Scores
    std: Scores
    seeds: list[SeedResult]
    worst_attack_clustering: str
    worst_attack_retrieval: str
    train_cost: float | None
    train_seconds: float | None
    epochs: float | None
    best_epoch: float | None
    embed_cost: float | None
    failed_cells: int
    checks: list[CheckOfRow]


class TableResult(_Part):
    """A table with its setting, its conclusion in Markdown and its rows in order of rank."""

    dataset: str
    backbone: str
    loss: str
    norm: str
    eps: float
    compute: str
    suite: str
    conclusion: list[str]
    rows: list[RowResult]


class CellEntry(_Part):
    """A cell with its metrics as fractions; `provenance` is a position in the document's sources."""

    id: str
    model_id: str
    dataset: str
    backbone: str
    loss: str
    defense: str
    seed: int
    scenario: str
    attack: str
    norm: str
    eps: float
    role: str
    compute: str
    status: str
    reason: str
    metrics: dict[str, float]
    objective: float | None
    follows: list[str]
    attacked_queries: int | None
    seconds: float | None
    forward_passes: float | None
    backward_passes: float | None
    notes: list[str]
    created: str | None
    provenance: int | None


class Document(_Part):
    """All rows, cells, checks and provenance of a run.

    `sources` are the distinct sources of the cells.
    """

    version: str
    command: str
    suite: str
    source: Source
    created: str
    sources: list[Source]
    skipped: list[str]
    tables: list[TableResult]
    cells: list[CellEntry]


def document_schema() -> dict[str, Any]:
    """Builds the JSON schema (draft 2020-12) of `Document`."""
    schema = Document.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def shipped_schema() -> dict[str, Any]:
    """Reads the schema that is shipped with the package."""
    found: dict[str, Any] = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    return found
