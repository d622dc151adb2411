"""One attack on one model: its description, which travels to a worker, and the cells made from it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attacks import ATTACKS, Attack, AttackResult, Images, Problem
from benchmark.core.embedder import Embedder
from benchmark.core.errors import BenchmarkError
from benchmark.core.seeding import seed_everything
from benchmark.core.spec import format_value
from benchmark.data import DATASETS, Folders, ImageSet
from benchmark.evaluation import SCENARIOS, PoolEmbeddings, ScenarioScore, attacked_indices, diagnose
from benchmark.jobs.attack_cost import attack_cost, scoring_cost
from benchmark.jobs.context import RunContext
from benchmark.jobs.job import Epochs
from benchmark.jobs.memory import fits_on_device, memory_of_device, memory_of_host, pool_bytes
from benchmark.jobs.models import load_data, portable
from benchmark.jobs.probe import costs_of
from benchmark.jobs.train_job import TrainJob, load_trained
from benchmark.models import PassCounter
from benchmark.records import CLEAN, CellKey, CellRecord, ModelKey, Record, Status, Store


class AttackJob(Record):
    """Attacks one model once, and scores it in every scenario that asks for it.

    Attributes:
        model: the training whose model is attacked.
        attack: spec of the attack, "none" for the clean pool.
        norm, eps: the ball.
        attacked_fraction: of the pool, in (0, 1].
        source: the training of the model that the attack takes its gradients from, where that is another.
        cells: identity of the cell of each scenario.
        eot: EOT samples that gradients of a randomised model are averaged over.
        repeats: how often a randomised model embeds the pool, to average its scores.
        plugin_files: names of the plugins' own files that the cells' identities were made from.
    """

    model: TrainJob
    attack: str
    norm: str
    eps: float
    attacked_fraction: float = 1.0
    source: TrainJob | None = None
    cells: dict[str, str]
    eot: int
    repeats: int
    plugin_files: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """That of the first of its cells, which no other job has."""
        return next(iter(self.cells.values()))

    @property
    def key(self) -> ModelKey:
        """The key of the model that is attacked."""
        return self.model.key

    @property
    def label(self) -> str:
        """The defense, the seed, the attack and its budget."""
        attack = "clean" if self.attack == CLEAN else f"{self.attack} {self.norm} {format_value(self.eps)}"
        return f"{self.key.defense}, seed {self.key.seed}: {attack}"

    @property
    def needs(self) -> Mapping[str, str]:
        """The training of the model, and of the source of a transferred attack."""
        needed = {self.model.id: "training"}
        if self.source is not None and self.source.id != self.model.id:
            needed[self.source.id] = f"training of {self.source.key.defense}, the source of this attack,"
        return needed

    def cell_key(self, scenario: str) -> CellKey:
        """The key of one of its cells."""
        return CellKey(
            **dict(self.model.key), scenario=scenario, attack=self.attack, norm=self.norm, eps=self.eps
        )

    def cost(self, folders: Folders) -> float:
        """Cost units of the attack and of scoring it in every scenario."""
        pool = load_data(self.model.key.dataset, folders).test
        attack = None if self.attack == CLEAN else ATTACKS.build(self.attack)
        target, source = (
            None if training is None else costs_of(training.key, training.recipe, folders)
            for training in (self.model, self.source)
        )
        assert target is not None
        attacking = attack_cost(attack, target, source, self.eot, self.attacked_fraction)
        return len(pool) * attacking + scoring_cost(attack, target, self.repeats, pool)

    def execute(self, context: RunContext) -> str | None:
        """Attacks the model, and writes a cell for each scenario; the reason of the first that failed."""
        reasons = []
        for record, arrays in make_cells(self, context):
            context.store.save_cell(record, arrays)
            reasons += [record.reason] if record.status == "failed" else []
        return reasons[0] if reasons else None

    def fail(self, reason: str, context: RunContext, status: Status = "failed") -> str:
        """Writes the records of cells that failed, or were skipped."""
        for scenario in self.cells:
            context.store.save_cell(self.record(scenario, context, status, reason))
        return reason

    def progress(self, store: Store) -> Epochs:
        """Not known of an attack."""
        return Epochs()

    def record(
        self, scenario: str, context: RunContext, status: Status, reason: str = "", **measured: Any
    ) -> CellRecord:
        """The record of one of its cells.

        Args:
            scenario: which cell.
            context: who makes it.
            status: of the cell.
            reason: why it is not done.
            measured: metrics, diagnostics and costs, by the names that the record has for them.
        """
        return CellRecord(
            id=self.cells[scenario],
            model_id=self.model.id,
            key=self.cell_key(scenario),
            status=status,
            reason=reason,
            plugin_files=list(self.plugin_files),
            provenance=context.provenance(),
            **measured,
        )


def place_images(pool: ImageSet, attack: Attack | None, context: RunContext) -> Tensor | Images:
    """Puts the whole pool on the device where there is room for it and the attack; else leaves it as it is.

    Workers share the memory: each may take an equal part.

    Raises:
        BenchmarkError: when the attacked pool would not even fit into the CPU's memory.
    """
    held = 0 if attack is None else attack.pools_in_memory()
    parts = [
        None if memory is None else memory.part(context.workers)
        for memory in (memory_of_device(context.device), memory_of_host())
    ]
    if fits_on_device(pool_bytes(pool), held, *parts):
        return pool.batch(slice(None), context.device)
    return pool


@contextmanager
def whole_float32() -> Iterator[None]:
    """Switches TF32 off, to which torch rounds what goes into a GPU's convolutions: 10 bits instead of 23."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


@whole_float32()
def make_cells(job: AttackJob, context: RunContext) -> list[tuple[CellRecord, dict[str, np.ndarray]]]:
    """Attacks a model and scores it in each scenario; part of a cell's identity.

    A scenario that cannot be scored fails its own cell, not the others.
    """
    key = job.model.key
    pool = load_data(key.dataset, context.folders).test
    model, unit = load_trained(job.model, context)
    attack = None if job.attack == CLEAN else ATTACKS.build(job.attack)
    sources: dict[str, Embedder] = {}
    if job.source is not None and attack is not None and attack.needs is not None:
        sources[attack.needs] = load_trained(job.source, context)[0]
    images = place_images(pool, attack, context)
    seed_everything("attack", portable(key).model_dump(), job.attack, job.norm, job.eps)
    started = time.perf_counter()
    result: AttackResult | None = None
    with ExitStack() as stack:
        counters = [
            stack.enter_context(PassCounter(embedder, pool.image_shape, unit))
            for embedder in (model, *sources.values())
        ]
        if attack is not None:
            problem = Problem(
                model,
                images,
                pool.labels.to(context.device),
                pool.ids,
                job.norm,
                job.eps,
                key.seed,
                job.eot,
                attacked=_attacked(job, pool, context),
                queries=None if pool.queries is None else pool.queries.to(context.device),
                sources=sources,
            )
            result = attack.run(problem)
    seconds = time.perf_counter() - started
    embeddings = PoolEmbeddings(
        model,
        images,
        images if result is None else result.images,
        pool.labels,
        pool.ids,
        job.repeats,
        seed=key.seed,
        attack=attack,
        objective=None if result is None or job.attacked_fraction < 1 else result.objective,
        queries=pool.queries,
        ks=DATASETS.build(key.dataset).recall_ks,
        device=context.device,
    )
    diagnostics = diagnose(embeddings, job.eot) if attack is None else {}
    if result is not None and result.zero_gradient is not None:
        diagnostics["zero_gradient"] = result.zero_gradient
    values = None if result is None else result.objective
    objective = None if values is None else float(values.mean())
    cells = []
    for scenario in job.cells:
        score, reason = ScenarioScore({}), ""
        try:
            score = SCENARIOS.build(scenario).score(embeddings)
        except BenchmarkError as error:
            reason = str(error)
        record = job.record(
            scenario,
            context,
            "failed" if reason else "done",
            reason,
            metrics=score.metrics,
            objective=objective,
            diagnostics={**diagnostics, **score.diagnostics},
            seconds=seconds,
            forward_passes=sum(counter.forward for counter in counters),
            backward_passes=sum(counter.backward for counter in counters),
        )
        cells.append((record, score.arrays))
    return cells


def _attacked(job: AttackJob, pool: ImageSet, context: RunContext) -> Tensor | None:
    """Indices of the images that may be changed; None for all."""
    if job.attacked_fraction == 1:
        return None
    return attacked_indices(pool.ids, job.attacked_fraction).to(context.device)
