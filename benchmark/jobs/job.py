"""Jobs: pure functions of a description, which make records, of failures too."""

from __future__ import annotations

import traceback
from typing import Any

from benchmark.core.errors import BenchmarkError
from benchmark.core.files import write_atomically
from benchmark.jobs.attack_job import AttackJob, make_cells
from benchmark.jobs.train_job import RunContext, TrainJob, make_model
from benchmark.plugins.load import load_plugins
from benchmark.records import CellRecord, ModelRecord
from benchmark.records.provenance import provenance
from benchmark.records.store import Store


def fail_training(job: TrainJob, reason: str, place: RunContext) -> str:
    """Writes the record of a training that failed."""
    record = ModelRecord(
        id=job.id,
        key=job.key,
        status="failed",
        reason=reason,
        provenance=provenance(place.device, place.commit),
    )
    Store(place.output).save_model(record)
    return reason


def fail_cells(job: AttackJob, reason: str, place: RunContext, status: Any = "failed") -> str:
    """Writes the records of the cells of an attack that failed, or was skipped."""
    store = Store(place.output)
    for scenario, cell_id in job.cells.items():
        record = CellRecord(
            id=cell_id,
            model_id=job.model.id,
            key=job.key(scenario),
            status=status,
            reason=reason,
            provenance=provenance(place.device, place.commit),
        )
        store.save_cell(record)
    return reason


def _explain(error: BaseException, job_id: str, store: Store) -> str:
    """One line about an error; the traceback of one that nobody foresaw goes to a file beside the records."""
    if isinstance(error, BenchmarkError):
        return str(error)
    log = store.root / "logs" / f"{job_id}.txt"
    write_atomically(log, lambda path: path.write_text(traceback.format_exc(), encoding="utf-8"))
    first = str(error).strip().split("\n", 1)[0]
    return f"{type(error).__name__}: {first} (traceback in store/logs/{log.name})"


def execute(job: TrainJob | AttackJob, place: RunContext) -> str | None:
    """Runs a job and writes its records, failed or done.

    Returns:
        None when it went well, else the reason why not, in one line.
    """
    load_plugins(place.plugins)
    store = Store(place.output)
    try:
        if isinstance(job, TrainJob):
            store.save_model(make_model(job, place, store))
        else:
            reasons = []
            for record, arrays in make_cells(job, place, store):
                store.save_cell(record, arrays)
                reasons += [record.reason] if record.status == "failed" else []
            return reasons[0] if reasons else None
    except (Exception, SystemExit) as error:  # a plugin may do anything; the cell fails, the run goes on
        if isinstance(job, TrainJob):
            return fail_training(job, _explain(error, job.id, store), place)
        return fail_cells(job, _explain(error, next(iter(job.cells.values())), store), place)
    return None
