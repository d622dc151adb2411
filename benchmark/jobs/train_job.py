"""The training of one model: its description, which travels to a worker, and how it is done."""

from __future__ import annotations

from collections.abc import Mapping

from safetensors import SafetensorError
from safetensors.torch import load_model, save_model

from benchmark.core.embedder import Embedder
from benchmark.core.errors import CheckpointError
from benchmark.core.files import write_atomically
from benchmark.data import Folders
from benchmark.jobs.context import RunContext
from benchmark.jobs.job import Epochs
from benchmark.jobs.models import build_model, load_data, training_images
from benchmark.jobs.probe import costs_of
from benchmark.models import fold_batch_norm
from benchmark.records import ModelKey, ModelRecord, Record, Status, Store, TrainingRecord
from benchmark.training import Recipe, SavePoint, train
from defenses import DEFENSES


class TrainJob(Record):
    """Trains one model and keeps its checkpoint.

    Attributes:
        id: the model's identity.
        key: what is trained.
        recipe: the training recipe.
        epochs: epochs of the training.
        eps: radius of the training attack's L_inf ball.
        plugin_files: names of the plugins' own files that the identity was made from.
    """

    id: str
    key: ModelKey
    recipe: Recipe
    epochs: int
    eps: float
    plugin_files: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The defense and the seed."""
        return f"{self.key.defense}, seed {self.key.seed}: train"

    @property
    def needs(self) -> Mapping[str, str]:
        """No other training."""
        return {}

    def cost(self, folders: Folders) -> float:
        """Cost units of the training; a guess of one plain training where a plugin cannot be probed."""
        costs, size = costs_of(self.key, self.recipe, folders), self.recipe.batch_size
        whole = costs.images // size * size  # an epoch leaves out a batch that is not full
        return costs.step * (whole or costs.images) * self.epochs

    def execute(self, context: RunContext) -> str | None:
        """Trains the model, writes its checkpoint, then its record."""
        context.store.save_model(self._record(context, "done", training=train_model(self, context)))
        return None

    def fail(self, reason: str, context: RunContext, status: Status = "failed") -> str:
        """Writes the record of a training that failed, or was skipped."""
        context.store.save_model(self._record(context, status, reason))
        return reason

    def progress(self, store: Store) -> Epochs:
        """The epochs done, as the last save says; none before the first."""
        notes = SavePoint(store.unfinished(self.id)).notes()
        return Epochs(notes["epoch"], notes["epochs"]) if notes else Epochs()

    def _record(
        self, context: RunContext, status: Status, reason: str = "", training: TrainingRecord | None = None
    ) -> ModelRecord:
        return ModelRecord(
            **dict(training or TrainingRecord()),
            id=self.id,
            key=self.key,
            status=status,
            reason=reason,
            recipe=self.recipe.model_dump(),
            eps=self.eps,
            plugin_files=list(self.plugin_files),
            provenance=context.provenance(),
        )


def train_model(job: TrainJob, context: RunContext) -> TrainingRecord:
    """Trains a model and writes its checkpoint; part of a model's identity, as `build_model` is."""
    images, held_out = training_images(job.recipe, load_data(job.key.dataset, context.folders))
    model, unit = build_model(job.key, images)
    store = context.store
    training = train(
        DEFENSES.build(job.key.defense),
        model,
        images,
        job.recipe,
        job.eps,
        unit,
        context.device,
        epochs=job.epochs,
        held_out=held_out,
        save_point=SavePoint(store.unfinished(job.id), context.save_every, context.provenance().packages),
    )
    write_atomically(store.checkpoint(job.id), lambda path: save_model(model, str(path)))
    return training


def trained_job(record: ModelRecord) -> TrainJob:
    """The job of a finished training, as its record has it."""
    return TrainJob(
        id=record.id,
        key=record.key,
        recipe=Recipe(**record.recipe),
        epochs=record.epochs,
        eps=record.eps,
        plugin_files=tuple(record.plugin_files),
    )


def load_trained(job: TrainJob, context: RunContext) -> tuple[Embedder, int]:
    """Loads a trained model from its checkpoint, in evaluation mode, its parameters frozen.

    Returns:
        The model, on the context's device, and the FLOPs of the cell's plain backbone.

    Raises:
        CheckpointError: when the checkpoint is missing, damaged, or does not fit.
    """
    images, _ = training_images(job.recipe, load_data(job.key.dataset, context.folders))
    model, unit = build_model(job.key, images, random=True)
    path = context.store.checkpoint(job.id)
    try:
        load_model(model, str(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).split("\n", 1)[0]
        raise CheckpointError(
            f"The checkpoint {path} cannot be used ({reason}); delete it and run again."
        ) from None
    model.eval().requires_grad_(False)
    fold_batch_norm(model)
    return model.to(context.device), unit
