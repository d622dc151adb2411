"""The figures of each trained model of a run, as rows of a table, and what of the run is not there yet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from math import isnan, nan
from pathlib import Path
from typing import Any

from benchmark.core.errors import UsageError
from benchmark.core.spec import parse_spec
from benchmark.records import ModelRecord, ModelRef
from benchmark.records.store import Store
from benchmark.report.cell_results import Run
from benchmark.report.tables import Row, SeedFigures, Table, collect

COLUMNS = [
    "dataset", "defense", "seed", "clean_ami", "clean_r1", "worst_ami", "worst_r1", "passes", "epochs",
    "best_epoch", "validation",
]  # fmt: skip


@dataclass(frozen=True)
class Study:
    """One data set's part of a finished run.

    Attributes:
        output: the folder of the run.
        dataset: a name that says nothing of where the images are.
        store: the records and checkpoints.
        table: the figures, at the data set's headline budget.
        refs: the trainings of the table's rows, in the order in which the run was given its defenses.
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
        """The trainings that are done and whose weights are there."""
        return [ref for ref in self.refs if ref.id in self.models and self.store.has_checkpoint(ref.id)]


def read_studies(outputs: Iterable[Path]) -> tuple[list[Study], list[str]]:
    """Reads one table for each data set of each run: that of the norm, budget and mode that come first.

    Returns:
        The studies, and a line on each thing that was left out or is missing.

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
            name = short_name(table.key.dataset)
            if table.key.dataset in seen:
                key = table.key
                notes.append(f"{name}: the table {key.trained}, {key.norm} {key.eps:g} is left out.")
                continue
            if name in studies:
                raise UsageError(f"Both '{studies[name].output}' and '{output}' show the data set {name}.")
            seen.add(table.key.dataset)
            studies[name] = _study(output, name, store, run, table)
    notes += [note for note in map(_missing, studies.values()) if note]
    return list(studies.values()), notes


def short_name(dataset: str) -> str:
    """The name of a data set without parameters, and of a folder of images without the way to it."""
    spec = parse_spec(dataset)
    way = spec.parameters.get("path") if spec.name == "folder" else spec.name.removeprefix("folder:")
    return Path(way or spec.name).name


def figures_of(study: Study) -> list[dict[str, Any]]:
    """A row of `COLUMNS` for each model that is trained; nan where a figure is not there yet."""
    figures = _figures(study.table.rows)
    rows = []
    for ref in study.refs:
        record = study.models.get(ref.id)
        if record is None:
            continue
        seed = figures.get((ref.key.defense, ref.key.seed), SeedFigures(ref.key.seed))
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


def _figures(rows: Iterable[Row]) -> dict[tuple[str, int], SeedFigures]:
    return {(row.defense, seed.seed): seed for row in rows for seed in row.seeds}


def _validation(record: ModelRecord) -> float:
    """What the epoch that was kept was chosen by; nan when no classes were held out."""
    return next((look.score for look in record.validations if look.epoch == record.best_epoch), nan)


def _missing(study: Study) -> str:
    """One line on the models that have no weights or no worst case; empty when all have."""
    figures = _figures(study.table.rows)
    trained = {ref.id for ref in study.trained()}
    lacking: dict[str, list[int]] = defaultdict(list)
    for ref in study.refs:
        seed = figures.get((ref.key.defense, ref.key.seed), SeedFigures(ref.key.seed))
        if ref.id not in trained or isnan(seed.worst_ami) or isnan(seed.worst_r1):
            lacking[ref.key.defense].append(ref.key.seed)
    if not lacking:
        return ""
    named = "; ".join(f"{defense} {', '.join(map(str, seeds))}" for defense, seeds in lacking.items())
    count = sum(map(len, lacking.values()))
    return f"{study.dataset}: {count} of {len(study.refs)} models are not done (defense, seeds): {named}."
