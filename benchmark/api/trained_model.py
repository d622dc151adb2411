"""Loads a trained row of a run as a plain module."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import nn

from benchmark.api.choose import Value, choose
from benchmark.api.results import Results
from benchmark.core.errors import UsageError, unknown_name
from benchmark.core.hardware import resolve_device
from benchmark.data.places import folders_for
from benchmark.jobs import RunContext, trained_job
from benchmark.plugins.load import load_plugins
from benchmark.records import ModelRef
from benchmark.records.provenance import commit
from defenses import DEFENSES


def load_model(
    results: Results | Path | str,
    defense: str,
    seed: int | None = None,
    *,
    dataset: str | None = None,
    backbone: str | None = None,
    loss: str | None = None,
    compute: str | None = None,
    device: str = "cpu",
    data_root: Path | str | None = None,
) -> nn.Module:
    """Loads a trained row of a run: a module from images to unit vectors, in evaluation mode, frozen.

    It maps float32 images in [0, 1], shape (n, C, H, W), of the size it was trained with, to unit vectors,
    shape (n, d); normalization of the input is part of it. Batch norm is folded into the convolutions, as the
    benchmark attacks it; `requires_grad_(True)` makes it trainable. Its data set must be on this machine.

    Args:
        results: a run's results, or its output folder.
        defense: the row, as tables show it, or its spec.
        seed: the training seed; the lowest that the row has when not given.
        dataset: as tables show it, where the run has several.
        backbone: the same.
        loss: the same.
        compute: the compute mode, where the models of two differ.
        device: "cpu", "cuda" or "auto".
        data_root: folder of the data sets as they were downloaded; that of the run when not given.

    Raises:
        UsageError: when there is no such row or several; the message lists those that there are.
        CheckpointError: when the checkpoint is missing or damaged.
        BenchmarkError: when the data set cannot be read.
    """
    found = results if isinstance(results, Results) else Results(results)
    config = found.manifest.config
    plugins = tuple(Path(path) for path in config.get("plugin", []))
    load_plugins(plugins)
    ref = _find(
        found, defense, seed, {"dataset": dataset, "backbone": backbone, "loss": loss, "compute": compute}
    )
    store = found.store
    record = store.model(ref.id)
    if record is None or record.status != "done":
        reason = record.reason if record else "it has not been trained yet"
        raise UsageError(f"There is no model of {defense}, seed {ref.key.seed}: {reason}.")
    root = data_root or config.get("data_root")
    folders = folders_for(Path(root) if root else None)
    context = RunContext(
        output=found.output,
        cache=folders.cache,
        data=folders.data,
        device=resolve_device(device),
        plugins=plugins,
        commit=commit(),
    )
    return trained_job(record).load(context)[0]


def _find(results: Results, defense: str, seed: int | None, asked: Mapping[str, Value]) -> ModelRef:
    names, refs = results.names, results.manifest.models
    if asked["compute"] is None:  # the same model may have a row in both modes
        refs = list({ref.id: ref for ref in refs}.values())
    wanted = {defense, _canonical(defense)}
    rows = [ref for ref in refs if not wanted.isdisjoint({ref.key.defense, names.short(ref.key.defense)})]
    if not rows:
        raise unknown_name("row", defense, {names.short(ref.key.defense) for ref in refs})

    def words(ref: ModelRef) -> dict[str, Value]:
        setting = {name: names.short(getattr(ref.key, name)) for name in ("dataset", "backbone", "loss")}
        return {**setting, "compute": ref.compute, "seed": ref.key.seed}

    chosen = min(ref.key.seed for ref in rows) if seed is None else seed
    return choose("model", rows, {**asked, "seed": chosen}, words)


def _canonical(text: str) -> str:
    try:
        return DEFENSES.build(text).spec
    except UsageError:  # it may be a name that tables show
        return text
