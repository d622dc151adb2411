"""The job that trains one model; it is sent to a worker."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from benchmark.data import Folders
from benchmark.jobs.context import RunContext
from benchmark.jobs.costs import costs_of
from benchmark.jobs.job import Outcome
from benchmark.jobs.models import short_name
from benchmark.jobs.training_run import TrainingRun
from benchmark.records import ModelRecord, Status, Store, TrainingRecord
from benchmark.training import Recipe
from defenses import DEFENSES


class TrainJob(TrainingRun):
    """Trains one model and keeps its checkpoint.

    Attributes:
        plugin_files: names of the plugins' own files that the identity was made from.
        identity: the parts of the identity, for the record.
    """

    teachers: Mapping[str, TrainJob] = {}
    plugin_files: tuple[str, ...] = ()
    identity: Mapping[str, Any] = {}

    @property
    def trained(self) -> bool:
        """Whether there is anything to train, and so a checkpoint afterwards."""
        return DEFENSES.build(self.key.defense).trained

    @property
    def label(self) -> str:
        """The defense and the seed."""
        return f"{short_name(self.key)}, seed {self.key.seed}: {'train' if self.trained else 'load'}"

    @property
    def needs(self) -> Mapping[str, str]:
        """The trainings of the models that the defense needs."""
        return {
            teacher.id: f"training of {teacher.key.defense}, which {self.key.defense} needs,"
            for teacher in self.teachers.values()
        }

    def all_teachers(self) -> list[TrainJob]:
        """Lists the trainings that this one needs, directly or through others, each once."""
        found: dict[str, TrainJob] = {}
        for teacher in self.teachers.values():
            found |= {one.id: one for one in (*teacher.all_teachers(), teacher)}
        return list(found.values())

    @property
    def reads(self) -> Collection[str]:
        """The models that the defense needs, with those that they need, and its own saved state."""
        return [*(teacher.id for teacher in self.all_teachers()), self.id]

    @property
    def resumable(self) -> bool:
        """Whether there is anything to train, which is saved between epochs."""
        return self.trained

    @property
    def grace(self) -> float | None:
        """No limit: an epoch may take long, and what it has computed is worth the wait."""
        return None

    def cost(self, folders: Folders) -> float:
        """Cost units of the training; a guess of one plain training where a plugin cannot be probed."""
        if not self.trained:
            return 0.0
        costs, size = costs_of(self.key, self.recipe, folders), self.recipe.batch_size
        whole = costs.images // size * size  # an epoch leaves out a batch that is not full
        images = whole or costs.images
        if self.budget is None:
            return costs.step * images * self.epochs
        teachers = {teacher.id: teacher for teacher in self.all_teachers()}
        return max(0.0, self.budget * images - sum(teacher.cost(folders) for teacher in teachers.values()))

    def execute(self, context: RunContext) -> str | None:
        """Trains the model, writes its checkpoint, then its record."""
        context.store.save_model(self._record(context, "done", training=self.train(context)))
        return None

    def fail(self, reason: str, context: RunContext, status: Status = "failed", log: str = "") -> str:
        """Writes the record of a training that failed, or was skipped."""
        context.store.save_model(self._record(context, status, reason, log))
        return reason

    def outcome(self, store: Store) -> Outcome | None:
        """Reads whether the training is done; None where it has no record, or its checkpoint is missing."""
        record = store.model(self.id)
        if record is None:
            return None
        if record.status != "done":
            return Outcome(record.reason, (record.provenance.created,))
        usable = not self.trained or store.has_checkpoint(self.id)
        return Outcome(None, (record.provenance.created,)) if usable else None

    def _record(
        self,
        context: RunContext,
        status: Status,
        reason: str = "",
        log: str = "",
        training: TrainingRecord | None = None,
    ) -> ModelRecord:
        return ModelRecord(
            **dict(training or TrainingRecord()),
            id=self.id,
            key=self.key,
            status=status,
            reason=reason,
            log=log,
            recipe=self.recipe.model_dump(),
            eps=self.eps,
            weights=self.weights,
            plugin_files=list(self.plugin_files),
            identity=dict(self.identity),
            usage=context.usage(),
            provenance=context.provenance(),
        )


def trained_job(record: ModelRecord) -> TrainJob:
    """Rebuilds the job of a finished training from its record."""
    return TrainJob(
        id=record.id,
        key=record.key,
        recipe=Recipe(**record.recipe),
        epochs=record.epochs,
        eps=record.eps,
        weights=record.weights,
        plugin_files=tuple(record.plugin_files),
        identity=record.identity,
    )
