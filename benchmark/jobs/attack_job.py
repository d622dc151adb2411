"""Attacked models: the description of an attack, which travels to a worker, and the cells made from it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from torch import Tensor

from attacks import ATTACKS, Attack, AttackResult, Images, Problem
from benchmark.core.embedder import Embedder
from benchmark.core.errors import BenchmarkError
from benchmark.core.seeding import seed_everything
from benchmark.data import DATASETS, ImageSet
from benchmark.evaluation import SCENARIOS, PoolEmbeddings, ScenarioScore, attacked_indices, diagnose
from benchmark.jobs.memory import fits_on_device, memory_of_device, memory_of_host, pool_bytes
from benchmark.jobs.train_job import RunContext, TrainJob, load_data, load_trained, portable
from benchmark.models import PassCounter
from benchmark.records import CLEAN, CellKey, CellRecord, Record
from benchmark.records.provenance import provenance
from benchmark.records.store import Store


class AttackJob(Record):
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

    def key(self, scenario: str) -> CellKey:
        """The key of one of its cells."""
        return CellKey(
            **self.model.key.model_dump(), scenario=scenario, attack=self.attack, norm=self.norm, eps=self.eps
        )


def place_images(pool: ImageSet, attack: Attack | None, place: RunContext) -> Tensor | Images:
    """The pool as a whole on the device where there is room for it and the attack; else as it is.

    Workers share the memory: each may take an equal part.

    Raises:
        BenchmarkError: when the attacked pool would not even fit into the CPU's memory.
    """
    held = 0 if attack is None else attack.pools_held()
    parts = [
        None if memory is None else memory.part(place.workers)
        for memory in (memory_of_device(place.device), memory_of_host())
    ]
    if fits_on_device(pool_bytes(pool), held, *parts):
        return pool.batch(slice(None), place.device)
    return pool


@contextmanager
def whole_float32() -> Iterator[None]:
    """Without TF32, to which torch rounds what goes into a GPU's convolutions: 10 bits instead of 23."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


@whole_float32()
def make_cells(
    job: AttackJob, place: RunContext, store: Store
) -> list[tuple[CellRecord, dict[str, np.ndarray]]]:
    """Attacks a model and scores it in each scenario; part of a cell's identity.

    A scenario that cannot be scored fails its own cell, not the others.
    """
    pool = load_data(job.model.key.dataset, place.folders).test
    model, unit = load_trained(job.model, place, store)
    attack = None if job.attack == CLEAN else ATTACKS.build(job.attack)
    sources: dict[str, Embedder] = {}
    if job.source is not None and attack is not None and attack.needs is not None:
        sources[attack.needs] = load_trained(job.source, place, store)[0]
    images = place_images(pool, attack, place)
    seed_everything("attack", portable(job.model.key).model_dump(), job.attack, job.norm, job.eps)
    started = time.perf_counter()
    outcome: AttackResult | None = None
    with ExitStack() as stack:
        counters = [
            stack.enter_context(PassCounter(embedder, pool.image_shape, unit))
            for embedder in (model, *sources.values())
        ]
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
                queries=None if pool.queries is None else pool.queries.to(place.device),
                sources=sources,
            )
            outcome = attack.run(problem)
    seconds = time.perf_counter() - started
    views = PoolEmbeddings(
        model,
        images,
        images if outcome is None else outcome.images,
        pool.labels,
        pool.ids,
        job.passes,
        seed=job.model.key.seed,
        attack=attack,
        objective=None if outcome is None or job.share < 1 else outcome.objective,
        queries=pool.queries,
        ks=DATASETS.build(job.model.key.dataset).recall_ks,
        device=place.device,
    )
    about = diagnose(views, job.eot) if attack is None else {}
    if outcome is not None and outcome.zero_gradient is not None:
        about["zero_gradient"] = outcome.zero_gradient
    values = None if outcome is None else outcome.objective
    reached = None if values is None else float(values.mean())
    results = []
    for scenario, cell_id in job.cells.items():
        score, reason = ScenarioScore({}), ""
        try:
            score = SCENARIOS.build(scenario).score(views)
        except BenchmarkError as error:
            reason = str(error)
        record = CellRecord(
            id=cell_id,
            model_id=job.model.id,
            key=job.key(scenario),
            status="failed" if reason else "done",
            reason=reason,
            metrics=score.metrics,
            objective=reached,
            diagnostics={**about, **score.diagnostics},
            seconds=seconds,
            forward_passes=sum(counter.forward for counter in counters),
            backward_passes=sum(counter.backward for counter in counters),
            provenance=provenance(place.device, place.commit),
        )
        results.append((record, score.arrays))
    return results
