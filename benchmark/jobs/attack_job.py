"""The job that attacks one model and writes its cells; it is sent to a worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attacks import ATTACKS
from benchmark.core.spec import format_value
from benchmark.data import Folders
from benchmark.evaluation import RetrievalQuery, ScenarioScore
from benchmark.jobs.attack_cost import attack_cost, scoring_cost
from benchmark.jobs.attack_run import AttackRun
from benchmark.jobs.attacked_images import attacked_images
from benchmark.jobs.context import RunContext
from benchmark.jobs.job import Epochs
from benchmark.jobs.models import load_data, short_name
from benchmark.jobs.probe import costs_of
from benchmark.records import CLEAN, CellKey, CellRecord, ModelKey, Status, Store


class AttackJob(AttackRun):
    """Attacks one model once, and scores it in every scenario that asks for it.

    Attributes:
        cells: the identity of each scenario's cell, by the scenario's spec.
        plugin_files: names of the plugins' own files that the cells' identities were made from.
        identities: the parts of the cells' identities by their id, for the records.
    """

    cells: dict[str, str]
    plugin_files: tuple[str, ...] = ()
    identities: Mapping[str, Mapping[str, Any]] = {}

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
        """The trainings of the attacked model and of the source of a transferred attack."""
        needed = {self.model.id: "training"}
        if self.source is not None and self.source.id != self.model.id:
            needed[self.source.id] = f"training of {self.source.key.defense}, the source of this attack,"
        return needed

    @property
    def pictured(self) -> str | None:
        """The cell whose attacked queries are worth looking at; None where no query is attacked."""
        whole = self.attack != CLEAN and self.attacked_fraction == 1
        return self.cells.get(RetrievalQuery.name) if whole else None

    def cell_key(self, scenario: str) -> CellKey:
        """The key of the cell of a scenario."""
        return CellKey(
            **dict(self.model.key), scenario=scenario, attack=self.attack, norm=self.norm, eps=self.eps
        )

    def cost(self, folders: Folders) -> float:
        """Cost units of the attack and of scoring it in every scenario."""
        pool = load_data(self.key.dataset, folders).test
        attack = None if self.attack == CLEAN else ATTACKS.build(self.attack)
        target = costs_of(self.model.key, self.model.recipe, folders)
        source = None if self.source is None else costs_of(self.source.key, self.source.recipe, folders)
        attacking = attack_cost(attack, target, source, self.eot, self.attacked_fraction)
        return len(pool) * attacking + scoring_cost(attack, target, self.repeats, pool)

    def execute(self, context: RunContext) -> str | None:
        """Attacks the model and writes a cell for each scenario; returns the first failure, or None."""
        run = self.attack_and_score(self.cells, context)
        if context.save_images and self.pictured is not None:
            kept = attacked_images(run.embeddings, context.save_images)
            context.store.save_images(self.pictured, {key: value.numpy() for key, value in kept.items()})
        reasons = []
        for scenario, found in run.scores.items():
            score, reason = (ScenarioScore({}), found) if isinstance(found, str) else (found, "")
            record = self._record(
                scenario,
                context,
                "failed" if reason else "done",
                reason,
                metrics=score.metrics,
                objective=run.objective,
                diagnostics={**run.diagnostics, **score.diagnostics},
                seconds=run.seconds,
                forward_passes=run.forward_passes,
                backward_passes=run.backward_passes,
            )
            context.store.save_cell(record, score.arrays)
            reasons += [reason] if reason else []
        return reasons[0] if reasons else None

    def fail(self, reason: str, context: RunContext, status: Status = "failed") -> str:
        """Writes the records of cells that failed, or were skipped."""
        for scenario in self.cells:
            context.store.save_cell(self._record(scenario, context, status, reason))
        return reason

    def progress(self, store: Store) -> Epochs:
        """Unknown progress: attacks save nothing on the way."""
        return Epochs()

    def _record(
        self, scenario: str, context: RunContext, status: Status, reason: str, **measured: Any
    ) -> CellRecord:
        return CellRecord(
            id=self.cells[scenario],
            model_id=self.model.id,
            key=self.cell_key(scenario),
            status=status,
            reason=reason,
            plugin_files=list(self.plugin_files),
            identity=dict(self.identities.get(self.cells[scenario], {})),
            provenance=context.provenance(),
            **measured,
        )
