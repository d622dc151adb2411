"""The scores of each trained model of a run, as rows of a table, and which models are missing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from math import isnan, nan
from pathlib import Path
from typing import Any

from benchmark.core.errors import UsageError
from benchmark.records import ModelRecord, ModelRef, Store
from benchmark.report.cell_results import Run
from benchmark.report.rows import Row, SeedScores
from benchmark.report.tables import Table, collect

COLUMNS = [
    "dataset", "defense", "seed", "clean_ami", "clean_r1", "worst_ami", "worst_r1", "passes", "epochs",
    "best_epoch", "validation",
]  # fmt: skip


@dataclass(frozen=True)
class Study:
    """One data set's part of a finished run.

    Attributes:
        output: the folder of the run.
        dataset: its name as the report shows it, without the parameters that all its data sets share.
        store: the records and checkpoints.
        table: the scores, at the budget of the data set's first table.
        refs: the trainings of the table's rows, in the order of the run's defenses.
        models: the record of each training that is done, by id.
    """

    output: Path
    dataset: str
    store: Store
    table: Table
    refs: list[ModelRef]
    models: dict[str, ModelRecord]

    @property
    def eps(self) -> float:
        """Radius of the ball of the attacks."""
        return self.table.key.eps

    def trained(self) -> list[ModelRef]:
        """The trainings that are done and have a checkpoint."""
        return [ref for ref in self.refs if ref.id in self.models and self.store.has_checkpoint(ref.id)]


def read_studies(outputs: Iterable[Path]) -> tuple[list[Study], list[str]]:
    """Reads the first table of each data set of each run (by norm, budget and compute mode).

    Returns:
        The studies, and a note on each table that is left out and on the models that are missing.

    Raises:
        UsageError: when a folder holds no run, or two of them show one data set.
    """
    studies: dict[str, Study] = {}
    notes = []
    for output in outputs:
        store = Store(output)
        run = Run(store)
        seen: set[str] = set()
        for table in collect(run):
            name = run.names.brief(table.key.dataset)
            if table.key.dataset in seen:
                key = table.key
                notes.append(f"{name}: the table {table.trained}, {key.norm} {key.eps:g} is left out.")
                continue
            if name in studies:
                raise UsageError(f"Both '{studies[name].output}' and '{output}' show the data set {name}.")
            seen.add(table.key.dataset)
            studies[name] = _study(output, name, store, run, table)
    notes += [note for note in map(_missing, studies.values()) if note]
    return list(studies.values()), notes


def scores_of(study: Study) -> list[dict[str, Any]]:
    """A row of `COLUMNS` for each trained model; nan where a score is missing."""
    scores = _scores(study.table.rows)
    rows = []
    for ref in study.refs:
        record = study.models.get(ref.id)
        if record is None:
            continue
        seed = scores.get((ref.key.defense, ref.key.seed), SeedScores(ref.key.seed))
        row = {
            "dataset": study.dataset,
            "defense": ref.key.defense,
            "seed": ref.key.seed,
            **{name: getattr(seed, name) for name in COLUMNS[3:7]},
            "passes": record.cost,
            "epochs": record.epochs,
            "best_epoch": record.best_epoch,
            "validation": _validation(record),
        }
        rows.append(row)
    return rows


def _study(output: Path, name: str, store: Store, run: Run, table: Table) -> Study:
    defenses = {row.defense for row in table.rows if not row.reference}
    key = table.key
    refs = [
        ref
        for ref in run.manifest.models
        if ref.compute == key.compute
        and (ref.key.dataset, ref.key.backbone, ref.key.loss) == (key.dataset, key.backbone, key.loss)
        and ref.key.defense in defenses
    ]
    order = list(dict.fromkeys(ref.key.defense for ref in refs))
    refs.sort(key=lambda ref: (order.index(ref.key.defense), ref.key.seed))
    done = {ref.id: run.models[ref.id] for ref in refs if ref.id in run.models}
    return Study(
        output,
        name,
        store,
        table,
        refs,
        {key: model for key, model in done.items() if model.status == "done"},
    )


def _scores(rows: Iterable[Row]) -> dict[tuple[str, int], SeedScores]:
    return {(row.defense, seed.seed): seed for row in rows for seed in row.seeds}


def _validation(record: ModelRecord) -> float:
    """The validation score of the epoch that was kept; nan when no classes were held out."""
    return next((result.score for result in record.validations if result.epoch == record.best_epoch), nan)


def _missing(study: Study) -> str:
    """One line on the models without a checkpoint or a worst case; empty when there are none."""
    scores = _scores(study.table.rows)
    trained = {ref.id for ref in study.trained()}
    lacking: dict[str, list[int]] = defaultdict(list)
    for ref in study.refs:
        seed = scores.get((ref.key.defense, ref.key.seed), SeedScores(ref.key.seed))
        if ref.id not in trained or isnan(seed.worst_ami) or isnan(seed.worst_r1):
            lacking[ref.key.defense].append(ref.key.seed)
    if not lacking:
        return ""
    listed = "; ".join(f"{defense} {', '.join(map(str, seeds))}" for defense, seeds in lacking.items())
    count = sum(map(len, lacking.values()))
    return (
        f"{study.dataset}: {count} of {len(study.refs)} models have no worst case yet, or no checkpoint "
        f"here, as in a merged folder (defense, seeds): {listed}."
    )
