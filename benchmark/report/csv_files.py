"""The two CSV files: fractions, fixed rounding, and a row order that depends only on the keys.

A budget is written exactly, and a name that would be read as a missing value or a number in double quotes, as
a spec may hold it: `"NA"`.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isnan
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.core.files import write_atomically
from benchmark.records import Provenance
from benchmark.report.cell_results import CLUSTERING, RETRIEVAL, CellResult, Run
from benchmark.report.checks import summary
from benchmark.report.rows import Row
from benchmark.report.tables import Table

COLUMNS_BEFORE_CHECKS = [
    "rank", "rank_low", "rank_high", "dataset", "backbone", "loss", "defense", "suite", "norm", "eps",
    "compute", "n_seeds", "clean_ami", "clean_ami_std", "clean_nmi", "clean_r1", "clean_r1_std",
    "worst_ami", "worst_ami_std", "worst_nmi", "worst_r1", "worst_r1_std", "worst_attack_clustering",
    "worst_attack_retrieval", "train_seconds", "train_cost", "epochs", "best_epoch", "embed_cost", "checks",
]  # fmt: skip
COLUMNS_AFTER_CHECKS = ["failed_cells", "protocol", "commit", "source"]
CELL_COLUMNS = [
    "dataset", "backbone", "loss", "defense", "seed", "scenario", "attack", "norm", "eps", "compute",
    "metric", "value", "status", "reason", "seconds", "forward_passes", "backward_passes",
    "protocol", "commit", "attacked_queries", "note",
]  # fmt: skip
SPEC_COLUMNS = ("dataset", "backbone", "loss", "defense", "attack")
NAME_COLUMNS = (*SPEC_COLUMNS, "suite", "worst_attack_clustering", "worst_attack_retrieval")
DECIMALS = 6
_MISSING = frozenset(
    {
        "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A",
        "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
    }
)  # fmt: skip
"""What pandas reads as a missing value; other programs know some of these too."""


def leaderboard_columns(checks: Iterable[str]) -> list[str]:
    """The columns of `leaderboard.csv`, with one for each check by name."""
    return [*COLUMNS_BEFORE_CHECKS, *(f"check_{name}" for name in checks), *COLUMNS_AFTER_CHECKS]


def leaderboard_frame(run: Run, tables: Iterable[Table]) -> pd.DataFrame:
    """Builds `leaderboard.csv`: one row for each defense of each table, in the tables' order."""
    rows = [_leaderboard_row(table, row) for table in tables for row in table.rows]
    frame = pd.DataFrame(rows, columns=leaderboard_columns(run.manifest.checks))
    for name in ("rank", "rank_low", "rank_high"):
        frame[name] = frame[name].astype("Int64")  # an empty rank must not turn the others into floats
    return frame


def cells_frame(run: Run) -> pd.DataFrame:
    """Builds `cells.csv`: one row for each metric; a cell that has none gives one row that says why."""
    rows = [row for cell in run.cells for row in _cell_rows(run, cell)]
    frame = pd.DataFrame(rows, columns=CELL_COLUMNS)
    frame["attacked_queries"] = frame["attacked_queries"].astype("Int64")  # empty where all were attacked
    return frame


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Writes a frame atomically, the same bytes on every platform."""
    names = [name for name in NAME_COLUMNS if name in frame.columns]
    readable = frame.assign(**{name: _each_once(frame[name]) for name in names})

    def write(temporary: Path) -> None:
        readable.to_csv(temporary, index=False, lineterminator="\n", encoding="utf-8")

    write_atomically(path, write)


def join(values: Iterable[str]) -> str:
    """The distinct values in alphabetical order, joined by "+"."""
    return "+".join(sorted(set(values)))


def provenances(row: Row) -> list[Provenance]:
    """The provenance of the records that a row is made from."""
    cells = [cell.record.provenance for cell in row.cells if cell.record]
    return cells + [model.provenance for model in row.models]


def _leaderboard_row(table: Table, row: Row) -> dict[str, Any]:
    made_by = provenances(row)
    scores: dict[str, Any] = {}
    for name in ("clean_ami", "clean_nmi", "clean_r1", "worst_ami", "worst_nmi", "worst_r1"):
        scores[name] = _rounded(row.mean(name))
        scores[f"{name}_std"] = _rounded(row.std(name))
    return {
        "rank": row.rank,
        "rank_low": row.rank_low,
        "rank_high": row.rank_high,
        "dataset": table.dataset,
        "backbone": table.backbone,
        "loss": table.loss,
        "defense": row.name,
        "suite": table.suite,
        "norm": table.key.norm,
        "eps": table.key.eps,  # exact, so that it reads back as the same number
        "compute": table.key.compute,
        "n_seeds": row.n_seeds,
        **{name: value for name, value in scores.items() if name in COLUMNS_BEFORE_CHECKS},
        "worst_attack_clustering": table.names.short(row.worst_attack(CLUSTERING, "ami")),
        "worst_attack_retrieval": table.names.short(row.worst_attack(RETRIEVAL, "r1")),
        "train_seconds": _rounded(row.training("seconds")),
        "train_cost": _rounded(row.training("relative_cost")),
        "epochs": _rounded(row.training("epochs")),
        "best_epoch": _rounded(row.training("best_epoch")),
        "embed_cost": _rounded(row.embed_cost),
        "checks": summary(row.checks),
        **{f"check_{name}": check.status for name, check in row.checks.items()},
        "failed_cells": len(row.failed),
        "protocol": join(provenance.protocol for provenance in made_by),
        "commit": join(provenance.commit for provenance in made_by),
        "source": row.source,
    }


def _cell_rows(run: Run, cell: CellResult) -> list[dict[str, Any]]:
    record = cell.record
    shared = {
        **cell.key.model_dump(),
        **{name: run.names.short(getattr(cell.key, name)) for name in SPEC_COLUMNS},
        "eps": cell.key.eps,
        "compute": cell.compute,
        "metric": None,
        "value": None,
        "status": cell.status,
        "reason": " ".join(cell.reason.split()),
        "seconds": _rounded(record.seconds) if record else None,
        "forward_passes": _rounded(record.forward_passes) if record else None,
        "backward_passes": _rounded(record.backward_passes) if record else None,
        "protocol": record.provenance.protocol if record else None,
        "commit": record.provenance.commit if record else None,
        "attacked_queries": record.attacked_queries if record else None,
        "note": " ".join(record.notes) if record else None,
    }
    if not (record and cell.done and record.metrics):
        return [shared]
    return [
        {**shared, "metric": metric, "value": _rounded(value)}
        for metric, value in sorted(record.metrics.items())
    ]


def _each_once(names: pd.Series[Any]) -> pd.Series[Any]:
    """The names as they read back; each is looked at once, of the many lines that have it."""
    return names.map({name: _readable(name) for name in names.unique()}, na_action="ignore")


def _readable(name: object) -> object:
    """A name as it reads back: in double quotes where it would be read as something else than a text."""
    if not isinstance(name, str) or not name:
        return name
    return f'"{name}"' if name in _MISSING or name.lower() in ("true", "false") or _is_number(name) else name


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


def _rounded(value: float) -> float | None:
    return None if isnan(value) else round(value, DECIMALS)
