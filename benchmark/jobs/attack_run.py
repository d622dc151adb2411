"""Attacking and scoring one model: all that its cells depend on, and so part of their identities."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass

from torch import Tensor

from attacks import ATTACKS, Attack, AttackResult, Images, Problem
from benchmark.core.embedder import Embedder
from benchmark.core.errors import BenchmarkError
from benchmark.core.seeding import seed_everything
from benchmark.data import DATASETS, ImageSet
from benchmark.evaluation import SCENARIOS, PoolEmbeddings, ScenarioScore, attacked_indices, diagnose
from benchmark.jobs.context import RunContext
from benchmark.jobs.memory import fits_on_device, memory_of_device, memory_of_host, pool_bytes
from benchmark.jobs.models import few_images, load_data, portable
from benchmark.jobs.standing import Standing
from benchmark.jobs.training_run import TrainingRun
from benchmark.models import PassCounter, check_embedder, whole_float32
from benchmark.records import CLEAN, Record


@dataclass
class ScoredRun:
    """An attack's scores in each scenario, with its time and cost.

    Attributes:
        scores: by scenario; the reason instead where it cannot be scored.
        objective: mean of what the attack maximized; None for attacks without one.
        diagnostics: measurements for the checks, the same in every scenario.
        embeddings: of the clean and the attacked pool, with both pools; None where nothing was attacked
            because no query stands.
        seconds: wall-clock time of the attack.
        forward_passes, backward_passes: its cost, in units.
        attacked_queries: how many queries were attacked; None for attacks on the whole pool.
        note: why nothing was attacked, in one sentence; empty where something was.
    """

    scores: dict[str, ScenarioScore | str]
    objective: float | None
    diagnostics: dict[str, float]
    embeddings: PoolEmbeddings | None = None
    seconds: float = 0.0
    forward_passes: float = 0.0
    backward_passes: float = 0.0
    attacked_queries: int | None = None
    note: str = ""


def place_images(pool: ImageSet, attack: Attack | None, context: RunContext) -> Tensor | Images:
    """Moves the whole pool to the device where memory allows that; else returns the pool unchanged.

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


class AttackRun(Record):
    """An attack on one model.

    Attributes:
        model: the training whose model is attacked.
        attack: spec of the attack, "none" for the clean pool.
        norm, eps: the ball.
        attacked_fraction: of the pool, in (0, 1].
        source: the training of the model that the attack takes its gradients from, where that is another.
        eot: EOT samples that gradients of a randomised model are averaged over.
        repeats: how often a randomised model embeds the pool, to average its scores.
        follows: ids of the cells that the attack follows; it attacks only the queries that stand after them.
            Empty for an attack on the whole pool, or on a fraction of it.
        until_chance: whether an attack that follows others is left out where R@1 is at or below chance.
    """

    model: TrainingRun
    attack: str
    norm: str
    eps: float
    attacked_fraction: float = 1.0
    source: TrainingRun | None = None
    eot: int
    repeats: int
    follows: tuple[str, ...] = ()
    until_chance: bool = True

    @whole_float32()
    def attack_and_score(self, scenarios: Iterable[str], context: RunContext) -> ScoredRun:
        """Attacks the model and scores it in each scenario, or says why a scenario cannot be scored.

        Raises:
            BenchmarkError: when the model breaks a promise that scores rely on (see `check_embedder`), or a
                cell that the attack follows has no outcomes.
        """
        standing = Standing.read(context.store, self.follows) if self.follows else None
        if standing is not None and (reason := standing.reason_to_stop(self.until_chance)):
            unattacked: dict[str, ScenarioScore | str] = {
                scenario: standing.unattacked() for scenario in scenarios
            }
            return ScoredRun(unattacked, None, {}, attacked_queries=0, note=reason)
        key = self.model.key
        pool = load_data(key.dataset, context.folders).test
        model, unit = self.model.load(context)
        check_embedder(model, few_images(pool, context.device))
        attack = None if self.attack == CLEAN else ATTACKS.build(self.attack)
        sources: dict[str, Embedder] = {}
        if self.source is not None and attack is not None and attack.needs is not None:
            sources[attack.needs] = self.source.load(context)[0]
        images = place_images(pool, attack, context)
        spec = CLEAN if attack is None else attack.portable
        seed_everything("attack", portable(key).model_dump(), spec, self.norm, self.eps)
        changed = self._changed(pool, standing)
        started = time.perf_counter()
        with ExitStack() as stack:
            counters = [
                stack.enter_context(PassCounter(embedder, pool.image_shape, unit))
                for embedder in (model, *sources.values())
            ]
            result = None
            if attack is not None:
                result = attack.run(self._problem(model, images, pool, sources, changed, context))
        seconds = time.perf_counter() - started
        embeddings = PoolEmbeddings(
            model,
            images,
            images if result is None else result.images,
            pool.labels,
            pool.ids,
            self.repeats,
            seed=key.seed,
            attack=attack,
            objective=None if result is None or changed is not None else result.objective,
            changed=changed if standing is not None else None,
            queries=pool.queries,
            ks=DATASETS.build(key.dataset).recall_ks,
            device=context.device,
        )
        values = None if result is None else result.objective
        part = 1.0 if standing is None else len(standing.images) / len(pool)
        return ScoredRun(
            diagnostics=self._diagnostics(embeddings, result, part),
            scores={scenario: _score(scenario, embeddings, standing) for scenario in scenarios},
            objective=None if values is None else float(values.mean()),
            embeddings=embeddings,
            seconds=seconds,
            forward_passes=sum(counter.forward for counter in counters),
            backward_passes=sum(counter.backward for counter in counters),
            attacked_queries=None if standing is None else len(standing.images),
        )

    def _changed(self, pool: ImageSet, standing: Standing | None) -> Tensor | None:
        """Indices of the images that are attacked, on the CPU; None for all."""
        if standing is not None:
            return standing.images
        return None if self.attacked_fraction == 1 else attacked_indices(pool.ids, self.attacked_fraction)

    def _problem(
        self,
        model: Embedder,
        images: Tensor | Images,
        pool: ImageSet,
        sources: dict[str, Embedder],
        changed: Tensor | None,
        context: RunContext,
    ) -> Problem:
        return Problem(
            model,
            images,
            pool.labels.to(context.device),
            pool.ids,
            self.norm,
            self.eps,
            self.model.key.seed,
            self.eot,
            attacked=None if changed is None else changed.to(context.device),
            queries=None if pool.queries is None else pool.queries.to(context.device),
            sources=sources,
        )

    def _diagnostics(
        self, embeddings: PoolEmbeddings, result: AttackResult | None, part: float
    ) -> dict[str, float]:
        """Diagnostics of the clean pool, or of an attack; `part` is that of the pool that still stands."""
        if result is None:
            return diagnose(embeddings, self.eot)
        return {} if result.zero_gradient is None else {"zero_gradient": part * result.zero_gradient}


def _score(scenario: str, embeddings: PoolEmbeddings, standing: Standing | None) -> ScenarioScore | str:
    try:
        score = SCENARIOS.build(scenario).score(embeddings)
        return score if standing is None else standing.after(score)
    except BenchmarkError as error:
        return str(error)
