"""Jobs: a description that travels to a worker, and the pure function of it that makes records."""

from __future__ import annotations

import time
import traceback
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model

from attacks import ATTACKS, Attack, Outcome, Problem
from benchmark.core.embedder import Embedder
from benchmark.core.errors import BenchmarkError, CheckpointError
from benchmark.core.seeding import seed_everything
from benchmark.data import DATASETS, Split
from benchmark.evaluation import SCENARIOS, Views, attacked_indices, diagnose
from benchmark.losses import LOSSES
from benchmark.models import BACKBONES, Member, PassCounter, count_flops
from benchmark.runner.plugins import load_plugins
from benchmark.runner.provenance import provenance
from benchmark.runner.records import CLEAN, CellKey, CellRecord, Frozen, ModelKey, ModelRecord
from benchmark.runner.store import Store, write_atomically
from benchmark.training import Recipe, train
from defenses import DEFENSES


class Place(Frozen):
    """Where a job runs and writes; nothing here changes a figure but the device.

    Attributes:
        output: the user's output folder.
        cache: folder for drawn or unpacked data sets.
        device: "cpu" or "cuda".
        plugins: files to import first.
        commit: the source commit, as the run saw it at its start.
    """

    output: Path
    cache: Path
    device: str
    plugins: tuple[Path, ...] = ()
    commit: str


class TrainJob(Frozen):
    """Trains one model and keeps its checkpoint.

    Attributes:
        id: the model's identity.
        key: what is trained.
        recipe: parameters of the training recipe.
        eps: radius of the training attack's L_inf ball.
    """

    id: str
    key: ModelKey
    recipe: dict[str, Any]
    eps: float


class AttackJob(Frozen):
    """Attacks one model once, and scores it in every scenario that asks for it.

    Attributes:
        model: the training that it needs.
        attack: spec of the attack, "none" for clean figures.
        norm, eps: the ball.
        share: share of the pool that is attacked.
        source: the training of the model that the attack takes its gradients from, where that is another.
        cells: identity of the cell of each scenario.
        eot: passes that gradients of a randomised model are averaged over.
        passes: passes that outcomes of a randomised model are averaged over.
    """

    model: TrainJob
    attack: str
    norm: str
    eps: float
    share: float = 1.0
    source: TrainJob | None = None
    cells: dict[str, str]
    eot: int
    passes: int

    @property
    def trainings(self) -> list[TrainJob]:
        """The trainings whose models it needs."""
        return [self.model, *([self.source] if self.source else [])]


@lru_cache(maxsize=4)
def load_data(dataset: str, cache: Path) -> Split:
    """A data set by its spec; the latest few are kept in memory."""
    return DATASETS.build(dataset).load(cache)


def build_model(key: ModelKey, data: Split) -> tuple[Embedder, int]:
    """A new model, untrained, and the FLOPs of the cell's plain backbone."""
    backbone = BACKBONES.build(key.backbone)
    loss = LOSSES.build(key.loss)

    def make_member() -> Member:
        embedder = backbone.build(data.train.image_shape)
        return Member(embedder, loss.build(data.train.num_classes, backbone.dim))

    unit = count_flops(backbone.build(data.train.image_shape), data.train.image_shape)
    # The same seed for every defense: their first members start from the same weights.
    seed_everything("model", key.dataset, key.backbone, key.loss, key.seed)
    model = DEFENSES.build(key.defense).build(make_member, data.train.labels)
    # About 1.2 times as fast for convolutions, on processors and GPUs alike.
    return model.to(memory_format=torch.channels_last), unit


def make_model(job: TrainJob, place: Place, store: Store) -> ModelRecord:
    """Trains a model and writes its checkpoint; part of a model's identity, as `build_model` is."""
    data = load_data(job.key.dataset, place.cache)
    model, unit = build_model(job.key, data)
    defense = DEFENSES.build(job.key.defense)
    trained = train(defense, model, data.train, Recipe(**job.recipe), job.eps, unit, place.device)
    write_atomically(store.checkpoint(job.id), lambda path: save_model(model, str(path)))
    return ModelRecord(
        id=job.id,
        key=job.key,
        status="done",
        seconds=trained.seconds,
        cost=trained.cost,
        relative_cost=trained.relative_cost,
        embed_cost=trained.embed_cost,
        curve=trained.curve,
        recipe=job.recipe,
        provenance=provenance(place.device, place.commit),
    )


def load_trained(job: TrainJob, place: Place, store: Store) -> tuple[Embedder, int]:
    """A trained model from its checkpoint, in evaluation mode, its parameters frozen.

    Raises:
        CheckpointError: when the checkpoint is missing, damaged, or does not fit.
    """
    model, unit = build_model(job.key, load_data(job.key.dataset, place.cache))
    path = store.checkpoint(job.id)
    try:
        load_model(model, str(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).split("\n", 1)[0]
        raise CheckpointError(
            f"The checkpoint {path} cannot be used ({reason}); delete it and run again."
        ) from None
    return model.to(place.device).eval().requires_grad_(False), unit


def make_cells(job: AttackJob, place: Place, store: Store) -> list[tuple[CellRecord, dict[str, np.ndarray]]]:
    """Attacks a model and scores it in each scenario; part of a cell's identity."""
    pool = load_data(job.model.key.dataset, place.cache).test
    model, unit = load_trained(job.model, place, store)
    images = pool.batch(slice(None), place.device)
    attack = None if job.attack == CLEAN else ATTACKS.build(job.attack)
    seed_everything("attack", job.model.key.model_dump(), job.attack, job.norm, job.eps)
    started = time.perf_counter()
    outcome = Outcome(images)
    with PassCounter(model, pool.image_shape, unit) as counter:
        if attack is not None:
            problem = Problem(
                model,
                images,
                pool.labels.to(place.device),
                pool.ids,
                job.norm,
                job.eps,
                job.model.key.seed,
                job.eot,
                attacked=None if job.share == 1 else attacked_indices(pool.ids, job.share).to(place.device),
                sources=_sources(job, attack, place, store),
            )
            outcome = attack.run(problem)
    seconds = time.perf_counter() - started
    views = Views(
        model,
        images,
        outcome.images,
        pool.labels,
        pool.ids,
        job.passes,
        seed=job.model.key.seed,
        attack=attack,
        objective=None if job.share < 1 else outcome.objective,
    )
    about = diagnose(views, job.eot) if attack is None else {}
    if outcome.zero_gradient is not None:
        about["zero_gradient"] = outcome.zero_gradient
    results = []
    for scenario, cell_id in job.cells.items():
        score = SCENARIOS.build(scenario).score(views)
        record = CellRecord(
            id=cell_id,
            model_id=job.model.id,
            key=_cell_key(job, scenario),
            status="done",
            metrics=score.metrics,
            objective=None if outcome.objective is None else float(outcome.objective.mean()),
            diagnostics={**about, **score.diagnostics},
            seconds=seconds,
            forward_passes=counter.forward,
            backward_passes=counter.backward,
            provenance=provenance(place.device, place.commit),
        )
        results.append((record, score.arrays))
    return results


def _sources(job: AttackJob, attack: Attack, place: Place, store: Store) -> dict[str, Embedder]:
    if job.source is None or attack.needs is None:
        return {}
    return {attack.needs: load_trained(job.source, place, store)[0]}


def _cell_key(job: AttackJob, scenario: str) -> CellKey:
    return CellKey(
        **job.model.key.model_dump(), scenario=scenario, attack=job.attack, norm=job.norm, eps=job.eps
    )


def fail_training(job: TrainJob, reason: str, place: Place) -> str:
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


def fail_cells(job: AttackJob, reason: str, place: Place, status: Any = "failed") -> str:
    """Writes the records of the cells of an attack that failed, or was skipped."""
    store = Store(place.output)
    for scenario, cell_id in job.cells.items():
        record = CellRecord(
            id=cell_id,
            model_id=job.model.id,
            key=_cell_key(job, scenario),
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


def execute(job: TrainJob | AttackJob, place: Place) -> str | None:
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
            for record, arrays in make_cells(job, place, store):
                store.save_cell(record, arrays)
    except (Exception, SystemExit) as error:  # a plugin may do anything; the cell fails, the run goes on
        if isinstance(job, TrainJob):
            return fail_training(job, _explain(error, job.id, store), place)
        return fail_cells(job, _explain(error, next(iter(job.cells.values())), store), place)
    return None
