"""The job that attacks one model and writes its cells; it is sent to a worker."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from pydantic import Field

from attacks import ATTACKS, WHOLE
from benchmark.core.spec import format_value, parse_spec
from benchmark.data import Folders, ImageSet
from benchmark.evaluation import Clustering, RetrievalQuery, ScenarioScore
from benchmark.evaluation.pool_embeddings import ISOLATED_IMAGES
from benchmark.jobs.attack_cost import attack_cost, scoring_cost, similarity_cost
from benchmark.jobs.attack_run import AttackRun
from benchmark.jobs.attacked_images import attacked_images, shown_images
from benchmark.jobs.context import RunContext
from benchmark.jobs.costs import costs_of
from benchmark.jobs.isolation import has_foreign_code
from benchmark.jobs.job import Outcome
from benchmark.jobs.models import load_data, short_name
from benchmark.jobs.scored_run import ScoredRun
from benchmark.jobs.worst_hit import worst_hit
from benchmark.plugins.reach import is_project
from benchmark.records import CLEAN, CellKey, CellRecord, ModelKey, Status, Store
from benchmark.records.metric_ranges import wrong_metric, wrong_number
from defenses import DEFENSES


class AttackJob(AttackRun):
    """Attacks one model once, and scores it in every scenario that asks for it.

    Attributes:
        cells: the identity of each scenario's cell, by the scenario's spec.
        plugin_files: names of the plugins' own files that the cells' identities were made from.
        waits_for: ids of the jobs of this run that compute cells that the attack follows, each with its name
            in messages.
        identities: the parts of the cells' identities by their id, for the records.
        shown: whether a few of its attacked queries are kept for the board's picture, asked for or not.
    """

    cells: dict[str, str]
    plugin_files: tuple[str, ...] = ()
    waits_for: dict[str, str] = Field(default_factory=dict)
    identities: Mapping[str, Mapping[str, Any]] = {}
    shown: bool = False

    @property
    def id(self) -> str:
        """The id of its first cell; no two jobs share a cell."""
        return next(iter(self.cells.values()))

    @property
    def key(self) -> ModelKey:
        """The key of the model that is attacked."""
        return self.model.key

    @property
    def label(self) -> str:
        """The defense, the seed, the attack and its budget."""
        attack = "clean" if self.attack == CLEAN else f"{self.attack} {self.norm} {format_value(self.eps)}"
        return f"{short_name(self.key)}, seed {self.key.seed}: {attack}"

    @property
    def needs(self) -> Mapping[str, str]:
        """The trainings of the attacked model and of the source, and the attacks that this one follows."""
        made = "training" if DEFENSES.build(self.key.defense).trained else "loading the model"
        needed = {self.model.id: made, **self.waits_for}
        if self.source is not None and self.source.id != self.model.id:
            needed[self.source.id] = f"training of {self.source.key.defense}, the source of this attack,"
        return needed

    @property
    def reads(self) -> Collection[str]:
        """The attacked model, the source, their clean pools, and the cells that decide the attack."""
        source = [] if self.source is None else [self.source.id]
        kept = [pool for pool in (self.clean_pool, self.source_clean_pool) if pool]
        return dict.fromkeys([self.model.id, *source, *kept, *self.after, self.id])

    @property
    def pictured(self) -> str | None:
        """The cell whose attacked queries are worth looking at; None where no query is attacked."""
        whole = self.attack != CLEAN and self.attacked_fraction == 1 and not self.follows
        return self.cells.get(RetrievalQuery.name) if whole else None

    def cell_key(self, scenario: str) -> CellKey:
        """The key of the cell of a scenario."""
        return CellKey(
            **dict(self.model.key), scenario=scenario, attack=self.attack, norm=self.norm, eps=self.eps
        )

    @property
    def resumable(self) -> bool:
        """Whether there is an attack, which is saved between batches or steps."""
        return self.attack != CLEAN

    @property
    def grace(self) -> float | None:
        """A minute: what is not saved by then computes scores, or is an attack without batches."""
        return 60.0

    def cost(self, folders: Folders) -> float:
        """Cost units of attacking and scoring, with similarities; at most, where it follows others."""
        return self.passes(folders) + self._similarities(folders)

    def _similarities(self, folders: Folders) -> float:
        pool = load_data(self.key.dataset, folders).test
        attack = None if self.attack == CLEAN else ATTACKS.build(self.attack)
        target = costs_of(self.model.key, self.model.recipe, folders)
        source = None if self.source is None else costs_of(self.source.key, self.source.recipe, folders)
        return similarity_cost(attack, target, source, self.attacked_fraction, pool, self._copies(pool))

    def _copies(self, pool: ImageSet) -> int:
        """How many images are attacked in place of queries, for their check."""
        attack = None if self.attack == CLEAN else ATTACKS.build(self.attack)
        examined = attack is not None and self.is_examined(attack, self.cells)
        return self.repeated(pool) if examined else 0

    def _isolated(self, pool: ImageSet) -> int:
        """How many images a process of its own embeds; also where it could not load the model, at most."""
        if self.attack == CLEAN or not self.is_isolated(ATTACKS.build(self.attack), self.cells):
            return 0
        foreign = has_foreign_code(self.key, lambda module: not is_project(module))
        return min(ISOLATED_IMAGES, len(pool)) if foreign else 0

    def passes(self, folders: Folders) -> float:
        """Forward and backward passes of the attack and of scoring it in every scenario, in cost units."""
        pool = load_data(self.key.dataset, folders).test
        attack = None if self.attack == CLEAN else ATTACKS.build(self.attack)
        target = costs_of(self.model.key, self.model.recipe, folders)
        source = None if self.source is None else costs_of(self.source.key, self.source.recipe, folders)
        attacking = attack_cost(
            attack, target, source, self.eot, self.attacked_fraction, self.precision != WHOLE
        )
        scoring = scoring_cost(attack, target, self.eot, self.repeats, pool, self._isolated(pool))
        return (len(pool) + self._copies(pool)) * attacking + scoring

    def execute(self, context: RunContext) -> str | None:
        """Attacks the model and writes a cell for each scenario; returns the first failure, or None."""
        state = context.store.unfinished(self.id)
        run = self.attack_and_score(self.cells, context, state)
        self._save_images(run, context)
        reasons = []
        for scenario, found in run.scores.items():
            score, reason = (ScenarioScore({}), found) if isinstance(found, str) else (found, "")
            diagnostics = {**run.diagnostics, **score.diagnostics}
            objective = run.objective
            if wrong := wrong_metric(score.metrics) or wrong_number({"objective": objective, **diagnostics}):
                score, reason, diagnostics, objective = ScenarioScore({}), wrong, {}, None
            record = self._record(
                scenario,
                context,
                "failed" if reason else "done",
                reason,
                metrics=score.metrics,
                objective=objective,
                diagnostics=diagnostics,
                seconds=run.seconds,
                forward_passes=run.forward_passes,
                backward_passes=run.backward_passes,
                batch_size=run.batch_size,
                notes=run.notes,
                execution=run.execution,
                attacked_queries=run.attacked_queries,
            )
            context.store.save_cell(record, {**score.arrays, **self._to_plot(scenario, run, reason)})
            reasons += [reason] if reason else []
        state.unlink(missing_ok=True)
        return reasons[0] if reasons else None

    def _save_images(self, run: ScoredRun, context: RunContext) -> None:
        """Keeps attacked queries to look at: as many as were asked for, else a few where they are shown."""
        if self.pictured is None or run.embeddings is None or not (context.save_images or self.shown):
            return
        if context.save_images:
            kept = attacked_images(run.embeddings, context.save_images)
        else:
            kept = shown_images(run.embeddings)
        images = {name: value.numpy() for name, value in kept.items()}
        context.store.save_images(self.pictured, images, self.key)

    def _to_plot(self, scenario: str, run: ScoredRun, reason: str) -> dict[str, np.ndarray]:
        """Arrays of an attacked pool's clusters that only a plot needs."""
        clustered = parse_spec(scenario).name == Clustering.name
        if not clustered or reason or self.attack == CLEAN or run.embeddings is None:
            return {}
        return {name: value.numpy() for name, value in worst_hit(run.embeddings).items()}

    def fail(self, reason: str, context: RunContext, status: Status = "failed", log: str = "") -> str:
        """Writes the records of cells that failed, or were skipped."""
        for scenario in self.cells:
            context.store.save_cell(self._record(scenario, context, status, reason, log=log))
        return reason

    @property
    def after(self) -> tuple[str, ...]:
        """Ids of the cells whose outcomes decide the attack: those that it follows or is left out by."""
        return (*self.follows, *(() if self.at_chance is None else self.at_chance.cells))

    def waiting_for(self, labels: Mapping[str, tuple[str, str]]) -> AttackJob:
        """Returns the job with those of the run that it must wait for.

        Args:
            labels: id and label of the run's job that computes a followed cell, by the cell's id.
        """
        needed = dict(labels[cell] for cell in self.after if cell in labels)
        names = {job_id: f"{label}, which this attack follows," for job_id, label in needed.items()}
        return self.model_copy(update={"waits_for": names}) if names else self

    def outcome(self, store: Store) -> Outcome | None:
        """Reads the first failure among the cells; None while one has no record."""
        records = [store.cell(cell_id) for cell_id in self.cells.values()]
        found = [record for record in records if record is not None]
        if len(found) < len(records):
            return None
        reasons = [record.reason for record in found if record.status != "done"]
        return Outcome(reasons[0] if reasons else None, tuple(record.provenance.created for record in found))

    def _record(
        self, scenario: str, context: RunContext, status: Status, reason: str, **measured: Any
    ) -> CellRecord:
        return CellRecord(
            id=self.cells[scenario],
            model_id=self.model.id,
            key=self.cell_key(scenario),
            status=status,
            reason=reason,
            precision=self.precision,
            follows=list(self._followed(measured.get("attacked_queries"))),
            plugin_files=list(self.plugin_files),
            identity=dict(self.identities.get(self.cells[scenario], {})),
            usage=context.usage(),
            provenance=context.provenance(),
            **measured,
        )

    def _followed(self, attacked_queries: int | None) -> tuple[str, ...]:
        """Ids of the cells that its scores follow; those that it was left out for count."""
        left_out = self.at_chance is not None and attacked_queries == 0
        return self.at_chance.queries if self.at_chance is not None and left_out else self.follows
