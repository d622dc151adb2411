"""Attacking and scoring one model: all that its cells depend on, and so part of their identities."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from attacks import ATTACKS, WHOLE, Attack, AttackResult, Problem
from benchmark.core.embedder import Embedder
from benchmark.core.errors import BenchmarkError
from benchmark.core.seeding import seed_everything
from benchmark.data import DATASETS, ImageSet
from benchmark.data.fresh import fresh_images, is_drawn
from benchmark.evaluation import SCENARIOS, PoolEmbeddings, ScenarioScore, attacked_indices, diagnose
from benchmark.evaluation.check_input import SAME
from benchmark.evaluation.retrieval import RetrievalQuery
from benchmark.evaluation.shifted import MOST_BYTES, QUERIES, add_shifted, is_reference
from benchmark.jobs.at_chance import AtChance
from benchmark.jobs.attack_cost import attack_weight
from benchmark.jobs.attack_save_point import AttackSavePoint
from benchmark.jobs.attacked import Attacked
from benchmark.jobs.batches import first_batch_size, run_in_batches
from benchmark.jobs.clean_pool import CleanEmbeddings, CleanPool
from benchmark.jobs.context import RunContext
from benchmark.jobs.isolation import isolated_model
from benchmark.jobs.memory import place_images, pool_bytes
from benchmark.jobs.models import few_images, load_data, portable
from benchmark.jobs.progress import AttackProgress, Progress
from benchmark.jobs.scored_run import ScoredRun
from benchmark.jobs.standing import Standing
from benchmark.jobs.training_run import TrainingRun
from benchmark.models import PassCounter, check_embedder, whole_float32
from benchmark.records import CLEAN, Record


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
        precision: of the passes that the attack searches with.
        follows: ids of the cells that the attack follows; it attacks only the queries that stand after them.
            Empty for an attack on the whole pool, or on a fraction of it.
        until_chance: whether an attack that follows others is left out where R@1 is at or below chance.
        at_chance: when an attack on the whole pool is left out, because others were strong enough; None for
            never.
        clean_pool: id of the stored embeddings of the clean pool under the model; they are computed anew
            where it is empty.
        source_clean_pool: the same of the source.
    """

    model: TrainingRun
    attack: str
    norm: str
    eps: float
    attacked_fraction: float = 1.0
    source: TrainingRun | None = None
    eot: int
    repeats: int
    precision: str = WHOLE
    follows: tuple[str, ...] = ()
    until_chance: bool = True
    at_chance: AtChance | None = None
    clean_pool: str = ""
    source_clean_pool: str = ""

    @whole_float32()
    def attack_and_score(
        self, scenarios: Iterable[str], context: RunContext, state: Path | None = None
    ) -> ScoredRun:
        """Attacks the model and scores it in each scenario, or says why a scenario cannot be scored.

        Args:
            scenarios: specs of the scenarios.
            context: the context of the run.
            state: the file that the attack is saved to on the way; None where it is not saved.

        Raises:
            BenchmarkError: when the model breaks a promise that scores rely on (see `check_embedder`), or a
                cell that the attack follows has no outcomes.
        """
        standing = Standing.read(context.store, self.follows) if self.follows else None
        if standing is not None and (reason := standing.reason_to_stop(self.until_chance)):
            unattacked: dict[str, ScenarioScore | str] = {
                scenario: standing.unattacked() for scenario in scenarios
            }
            context.report(Progress(share=1.0, part=0.0))
            return ScoredRun(unattacked, None, {}, attacked_queries=0, notes=[reason])
        if self.at_chance is not None and (reason := self.at_chance.reason(context.store)):
            left_out = self.at_chance.unattacked(context.store, scenarios)
            context.report(Progress(share=1.0, part=0.0))
            return ScoredRun(left_out, None, {}, attacked_queries=0, notes=[reason])
        key = self.model.key
        pool = load_data(key.dataset, context.folders).test
        model, unit = self.model.load(context)
        few = few_images(pool, context.device)
        check_embedder(model, few)
        attack = None if self.attack == CLEAN else ATTACKS.build(self.attack)
        sources: dict[str, Embedder] = {}
        units: tuple[int, ...] = (unit,)
        if self.source is not None and attack is not None and attack.needs is not None:
            sources[attack.needs], source_unit = self.source.load(context)
            units = (unit, source_unit)
        scenarios = list(scenarios)
        # The attacked pool stays while the attack is repeated on a copy of the clean one.
        repeated = attack is not None and self.is_examined(attack, scenarios)
        copies = int(repeated and pool_bytes(pool) <= MOST_BYTES)
        images = place_images(pool, attack, context, copies)
        attacked = Attacked(model, units, attack, sources, pool, images, copies)
        size = first_batch_size(
            (len(pool), *pool.image_shape),
            (model, *sources.values()),
            few,
            context.device,
            context.workers,
            attacked.to_come(),
        )
        run, batch_size, notes = run_in_batches(
            size, lambda images: self._attack_and_score(attacked, scenarios, images, standing, context, state)
        )
        return replace(run, batch_size=batch_size, notes=notes)

    def _attack_and_score(
        self,
        attacked: Attacked,
        scenarios: list[str],
        batch_size: int,
        standing: Standing | None,
        context: RunContext,
        state: Path | None,
    ) -> ScoredRun:
        """Attacks and scores in batches of a size; the same each time that it is called."""
        key, attack, pool = self.model.key, attacked.attack, attacked.pool
        spec = CLEAN if attack is None else attack.portable
        clean = self._clean(attacked, batch_size, context)
        seed_everything("attack", portable(key).model_dump(), spec, self.norm, self.eps)
        changed = self._changed(pool, standing)
        started = time.perf_counter()
        with ExitStack() as stack:
            counters = [
                stack.enter_context(PassCounter(embedder, pool.image_shape, unit))
                for embedder, unit in zip(
                    (attacked.model, *attacked.sources.values()), attacked.units, strict=True
                )
            ]
            result, before = None, 0.0
            if attack is not None:
                problem = self._problem(attacked, batch_size, changed, counters, clean, context)
                if state is not None:
                    problem.save_point = save_point = AttackSavePoint(state, problem, context)
                result = attack.run(problem)
                before = save_point.seconds_before if state is not None else 0.0
        seconds = before + time.perf_counter() - started
        partly = changed is not None and standing is None  # of scenarios that score no query alone
        examined = attack is not None and self.is_examined(attack, scenarios)
        isolated = attack is not None and self.is_isolated(attack, scenarios)
        embeddings = PoolEmbeddings(
            attacked.model,
            attacked.images,
            attacked.images if result is None else result.images,
            pool.labels,
            pool.ids,
            self.repeats,
            batch_size=batch_size,
            seed=key.seed,
            attack=attack,
            objective=None if result is None or partly else result.objective,
            changed=changed if standing is not None else None,
            queries=pool.queries,
            ks=DATASETS.build(key.dataset).recall_ks,
            device=context.device,
            clean_embeddings=clean[attacked.model].scored.unbind() if attacked.model in clean else (),
            isolated=isolated_model(self.model, context) if isolated else None,
        )
        scores = {scenario: _score(scenario, embeddings, standing) for scenario in scenarios}
        if attack is not None and examined:
            fresh = fresh_images(DATASETS.build(key.dataset), context.folders)
            add_shifted(problem, attack, embeddings, scores, fresh)
        values = None if result is None else result.objective
        part = 1.0 if standing is None else len(standing.images) / len(pool)
        return ScoredRun(
            diagnostics=self._diagnostics(embeddings, result, part),
            scores=scores,
            objective=None if values is None else float(values.mean()),
            embeddings=embeddings,
            seconds=seconds,
            forward_passes=sum(counter.forward for counter in counters),
            backward_passes=sum(counter.backward for counter in counters),
            execution="" if result is None else result.execution,
            attacked_queries=None if standing is None else len(standing.images),
        )

    def is_examined(self, attack: Attack, scenarios: Iterable[str]) -> bool:
        """Whether it is the one attack of a model in a norm that is repeated on other images than queries.

        Which attack it is depends on its own cell alone, not on what else is run: the reference attack, where
        `is_isolated`.
        """
        return is_reference(attack) and self.is_isolated(attack, scenarios)

    def is_isolated(self, attack: Attack, scenarios: Iterable[str]) -> bool:
        """Whether another process embeds attacked images of other people's models, too.

        So are those of each attack that searches the whole pool at the budget that the data set is ranked at,
        or at each where the data set has none: the lowest of their scores ranks a row, so a model may gain by
        cheating under the one that hurts it most alone.
        """
        if self.follows or self.attacked_fraction < 1 or attack.access == "none":
            return False
        headline = DATASETS.build(self.model.key.dataset).headline_eps.get(self.norm, self.eps)
        return abs(self.eps - headline) < SAME and RetrievalQuery.name in scenarios

    def repeated(self, pool: ImageSet) -> int:
        """How many other images are attacked in place of queries where the attack is examined."""
        kinds = 2 if is_drawn(DATASETS.build(self.model.key.dataset)) else 1  # shifted ones and fresh ones
        return kinds * min(QUERIES, len(pool))

    def _changed(self, pool: ImageSet, standing: Standing | None) -> Tensor | None:
        """Indices of the images that are attacked, on the CPU; None for all."""
        if standing is not None:
            return standing.images
        return None if self.attacked_fraction == 1 else attacked_indices(pool.ids, self.attacked_fraction)

    def _problem(
        self,
        attacked: Attacked,
        batch_size: int,
        changed: Tensor | None,
        counters: list[PassCounter],
        clean: dict[Embedder, CleanEmbeddings],
        context: RunContext,
    ) -> Problem:
        pool = attacked.pool
        return Problem(
            attacked.model,
            attacked.images,
            pool.labels.to(context.device),
            pool.ids,
            self.norm,
            self.eps,
            self.model.key.seed,
            self.eot,
            batch_size=batch_size,
            attacked=None if changed is None else changed.to(context.device),
            queries=None if pool.queries is None else pool.queries.to(context.device),
            sources=attacked.sources,
            precision=self.precision,
            counters=counters,
            embedded={model: known.searched.to(context.device) for model, known in clean.items()},
            watch=self._watch(attacked, changed, context),
        )

    def _clean(
        self, attacked: Attacked, batch_size: int, context: RunContext
    ) -> dict[Embedder, CleanEmbeddings]:
        """Embeddings of the clean pool by model, where they are kept; no attack's passes, so not counted."""
        named = [(attacked.model, self.model, self.clean_pool)]
        if self.source is not None:
            named += [(model, self.source, self.source_clean_pool) for model in attacked.sources.values()]
        pool, images = attacked.pool, attacked.images
        return {
            model: CleanPool(
                stored_as, training.key, pool, images, context.device, self.eot, self.repeats
            ).embeddings(model, batch_size, context.store)
            for model, training, stored_as in named
            if stored_as
        }

    def _watch(self, attacked: Attacked, changed: Tensor | None, context: RunContext) -> AttackProgress:
        """Returns what reports how far the attack is."""
        assert attacked.attack is not None
        samples = (self.eot, self.repeats) if attacked.model.randomised else (1, 1)
        repeated = self.repeated(attacked.pool) / len(attacked.pool) if attacked.copies else 0.0
        weight = attack_weight(attacked.attack, *samples, repeated)
        if self.follows and changed is not None:  # fewer images than were planned with
            attacking = weight * len(changed) / len(attacked.pool)
            part = attacking + 1 - weight
            return AttackProgress(context.report, attacking / part, part)
        return AttackProgress(context.report, weight)

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
