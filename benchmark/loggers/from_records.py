"""What is logged of a finished training and of a finished cell, and under which tags."""

from __future__ import annotations

from benchmark.core.display_names import without_folders
from benchmark.core.spec import format_value
from benchmark.loggers.base import LogWriter
from benchmark.records import CellRecord, ModelKey, ModelRecord


def log_training(record: ModelRecord, writer: LogWriter) -> None:
    """Writes the curves of a training, its cost and its peak memory; nothing of one that is not done.

    Tags are dataset/backbone/loss/defense/seed/what: "loss", "validation_clean_map_r" and
    "validation_attacked_map_r" by epoch; "train_seconds", "train_cost", "best_epoch" and "peak_memory".
    """
    if record.status != "done":
        return
    tag = _model_tag(record.key)
    if record.curve:
        writer.curve(f"{tag}/loss", dict(enumerate(record.curve, start=1)))
    for what in ("clean_map_r", "attacked_map_r"):
        if record.validations:
            values = {result.epoch: getattr(result, what) for result in record.validations}
            writer.curve(f"{tag}/validation_{what}", values)
    single = {
        "train_seconds": record.seconds,
        "train_cost": record.relative_cost,
        "best_epoch": record.best_epoch,
        "peak_memory": record.usage.peak_memory if record.usage else 0,
    }
    for what, value in single.items():
        if value:
            writer.value(f"{tag}/{what}", float(value))


def log_cell(record: CellRecord, writer: LogWriter) -> None:
    """Writes the metrics of a cell, and the mean objective of its attack; nothing of one that is not done.

    Tags are dataset/backbone/loss/defense/seed/scenario/attack/norm/eps/metric.
    """
    if record.status != "done":
        return
    key = record.key
    parts = (key.scenario, key.attack, key.norm)
    tag = "/".join([_model_tag(key), *map(without_folders, parts), format_value(key.eps)])
    for metric, value in sorted(record.metrics.items()):
        writer.value(f"{tag}/{metric}", value)
    if record.objective is not None:
        writer.value(f"{tag}/objective", record.objective)


def _model_tag(key: ModelKey) -> str:
    named = map(without_folders, (key.dataset, key.backbone, key.loss, key.defense))
    return "/".join([*named, f"seed{key.seed}"])
