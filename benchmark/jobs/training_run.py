"""Training one model, and loading it: all that its weights depend on, and so part of its identity."""

from __future__ import annotations

from collections.abc import Mapping

from benchmark.core.embedder import Embedder
from benchmark.core.errors import MisfitError
from benchmark.core.files import set_aside
from benchmark.data import ImageSet
from benchmark.jobs.context import RunContext
from benchmark.jobs.memory import memory_of_device
from benchmark.jobs.models import (
    build_model,
    check_teachers,
    check_weights,
    few_images,
    load_data,
    training_images,
)
from benchmark.jobs.progress import TrainingProgress
from benchmark.models import (
    PassCounter,
    check_embedder,
    check_same,
    count_flops,
    fold_batch_norm,
    in_float32,
    load_checkpoint,
    save_checkpoint,
)
from benchmark.records import ModelKey, Record, TrainingRecord
from benchmark.training import Recipe, SavePoint, train
from defenses import DEFENSES

_IMAGES = 0.25
"""Fraction of a worker's part of the GPU's memory that training images may fill; the model needs the rest."""


def _image_memory(context: RunContext) -> int:
    """Bytes of the GPU's memory that the training images may fill; 0 on a CPU."""
    memory = memory_of_device(context.device)
    return int(_IMAGES * memory.part(context.workers)) if memory else 0


class TrainingRun(Record):
    """The training of one model.

    Attributes:
        id: the model's identity.
        key: what is trained.
        recipe: the training recipe.
        epochs: of the training; with a budget, those that it is expected to take.
        eps: radius of the training attack's L_inf ball.
        budget: cost units that it spends for each image of an epoch, in place of a number of epochs.
        teachers: the trainings of the models that the defense needs, by their specs as written in `needs`.
        weights: fingerprint of an own model's weights and files; empty for what is trained.
    """

    id: str
    key: ModelKey
    recipe: Recipe
    epochs: int
    eps: float
    budget: float | None = None
    teachers: Mapping[str, TrainingRun] = {}
    weights: str = ""

    def train(self, context: RunContext) -> TrainingRecord:
        """Trains the model and writes its checkpoint; one that is not trained is only measured.

        Raises:
            CheckpointError: when the checkpoint of a model that the defense needs cannot be used, or the
                trained model's does not fit a model as `build` makes it.
            TrainingError: when the loss is not finite or no scalar, or a model that the defense needs was
                trained too.
            BenchmarkError: when the model breaks a promise that its scores rely on (see `check_embedder`), or
                embeds otherwise once it is loaded, because it keeps state that is not saved.
        """
        data = load_data(self.key.dataset, context.folders)
        defense = DEFENSES.build(self.key.defense)
        if not defense.trained:
            return self._examine(data.test, context)
        images, held_out = training_images(self.recipe, data)
        trained = {text: self.teachers[text].load_unfolded(context)[0] for text in defense.needs}
        model, unit = build_model(self.key, images, trained=trained)
        store = context.store
        progress = TrainingProgress(context.report, self.epochs)
        training = train(
            defense,
            model,
            images,
            self.recipe,
            self.eps,
            unit,
            context.device,
            progress.epoch,
            on_step=progress.step,
            epochs=self.epochs,
            budget=self.budget,
            teacher_cost=sum(self._teacher_costs(context).values()),
            held_out=held_out,
            save_point=SavePoint(
                store.unfinished(self.id),
                context.save_every,
                context.provenance().packages,
                context.stopping,
            ),
            image_memory=_image_memory(context),
        )
        check_teachers(defense, trained)
        save_checkpoint(model, store.checkpoint(self.id), self.key.model_dump())
        # A failure is recorded before others wait for the model.
        seen = few_images(data.test, context.device)
        unfolded = self.load_unfolded(context)[0].to(context.device)
        # Folding hides what a model does with batch norm.
        check_embedder(in_float32(unfolded, seen.clone()), seen)
        check_embedder(self.load(context)[0], seen)  # as it will be attacked
        check_same(model, unfolded, seen)
        return training

    def load(self, context: RunContext) -> tuple[Embedder, int]:
        """Loads the trained model from its checkpoint, in evaluation mode, its parameters frozen.

        Returns:
            The model, on the context's device, batch norm folded into its convolutions and its embeddings
            float32, and the FLOPs of the cell's plain backbone.

        Raises:
            CheckpointError: when the checkpoint is missing, damaged, or does not fit.
        """
        model, unit = self.load_unfolded(context)
        fold_batch_norm(model)
        pool = load_data(self.key.dataset, context.folders).test
        return in_float32(model.to(context.device), pool.batch(slice(0, 1), context.device)), unit

    def load_unfolded(self, context: RunContext) -> tuple[Embedder, int]:
        """Loads the model on the CPU with the modules that `build` made, as other models may hold it.

        Returns and raises the same as `load`. A checkpoint that fitted when it was trained, and does not any
        more, is set aside, so that the next run trains the model again.
        """
        data = load_data(self.key.dataset, context.folders)
        if not DEFENSES.build(self.key.defense).trained:
            model, unit = build_model(self.key, data.test)
            check_weights(model, self.weights)
            return model.eval().requires_grad_(False), unit
        images, _ = training_images(self.recipe, data)
        model, unit = build_model(self.key, images, random=True)
        store = context.store
        path, record = store.checkpoint(self.id), store.model(self.id)
        try:
            load_checkpoint(model, path, unchecked=store.is_unchecked(self.id))
        except MisfitError:
            if record is not None and record.status == "done":  # it was loaded when it was trained
                set_aside(path, "it does not fit its model")
            raise
        return model.eval().requires_grad_(False), unit

    def _teacher_costs(self, context: RunContext) -> dict[str, float]:
        """Reads the cost units of each training that this one needs, itself or through others, by its id."""
        costs: dict[str, float] = {}
        for teacher in self.teachers.values():
            record = context.store.model(teacher.id)
            if record is not None and record.cost:
                costs[teacher.id] = record.cost * (1 - record.teacher_cost / record.relative_cost)
            costs |= teacher._teacher_costs(context)
        return costs

    def _examine(self, pool: ImageSet, context: RunContext) -> TrainingRecord:
        """Measures the costs of a model that is not trained."""
        model, unit = self.load(context)
        check_embedder(model, few_images(pool, context.device))
        counter = PassCounter(model, pool.image_shape, unit)
        return TrainingRecord(
            embed_cost=counter.per_image,
            embed_flops=float(count_flops(model, pool.image_shape)),
            notes=model.settle(few_images(pool, context.device)),
        )
