"""Trained models: their description, which travels to a worker, and how they are made and read again."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model

from benchmark.core.embedder import Embedder
from benchmark.core.errors import CheckpointError
from benchmark.core.files import write_atomically
from benchmark.core.seeding import seed_everything
from benchmark.data import DATASETS, Folders, ImageSet, Split
from benchmark.losses import LOSSES
from benchmark.models import BACKBONES, Member, count_flops, fold_batch_norm
from benchmark.records import ModelKey, ModelRecord, Record, ValidationResult
from benchmark.records.provenance import provenance
from benchmark.records.store import Store
from benchmark.training import Recipe, SavePoint, train
from defenses import DEFENSES

FEWEST_TO_HOLD_OUT = 10
"""Training classes from which some are held out for validation."""

MOST_HELD_OUT = 1000
"""Images that are held out at most: more cost much memory and time, and tell little more."""


class RunContext(Record):
    """Where a job runs and writes; no figure depends on it but on the device, and on a GPU on the workers.

    Attributes:
        output: the user's output folder.
        cache: folder for drawn, unpacked and decoded data sets.
        data: folder of the data sets as they were downloaded.
        device: "cpu" or "cuda".
        plugins: files to import first.
        commit: the source commit, as the run saw it at its start.
        workers: how many jobs run side by side, and share the memory.
        save_every: seconds between two saves of a training in hand.
    """

    output: Path
    cache: Path
    data: Path
    device: str
    plugins: tuple[Path, ...] = ()
    commit: str
    workers: int = 1
    save_every: float = 120.0

    @property
    def folders(self) -> Folders:
        """Where data sets are."""
        return Folders(self.cache, self.data)


class TrainJob(Record):
    """Trains one model and keeps its checkpoint.

    Attributes:
        id: the model's identity.
        key: what is trained.
        recipe: parameters of the training recipe.
        epochs: passes over the training images.
        eps: radius of the training attack's L_inf ball.
    """

    id: str
    key: ModelKey
    recipe: dict[str, Any]
    epochs: int
    eps: float


@lru_cache(maxsize=4)
def load_data(dataset: str, folders: Folders) -> Split:
    """A data set by its spec; the latest few are kept in memory."""
    return DATASETS.build(dataset).load(folders)


def portable(key: ModelKey) -> ModelKey:
    """The key as it would be on any machine: wherever data sets and weights lie, seeds are the same."""
    dataset, backbone = DATASETS.build(key.dataset), BACKBONES.build(key.backbone)
    return key.model_copy(update={"dataset": dataset.portable, "backbone": backbone.portable})


def training_images(recipe: Recipe, data: Split) -> tuple[ImageSet, ImageSet | None]:
    """The images that models are trained on, and those of the training classes that are held out, if any.

    Of fewer than ten training classes none is held out: the two that a figure needs would be missed.
    """
    if not recipe.validation or data.train.num_classes < FEWEST_TO_HOLD_OUT:
        return data.train, None
    return data.train.hold_out(recipe.validation, MOST_HELD_OUT)


def build_model(key: ModelKey, images: ImageSet, random: bool = False) -> tuple[Embedder, int]:
    """A new model, untrained, and the FLOPs of the cell's plain backbone.

    Args:
        key: which model.
        images: what it is trained on.
        random: spare the pretrained weights, where others are put in their place or only costs are counted.
    """
    backbone = BACKBONES.build(key.backbone)
    loss = LOSSES.build(key.loss)
    natural = DATASETS.build(key.dataset).natural
    shape = images.image_shape

    def make_member() -> Member:
        embedder = backbone.build_random(shape) if random else backbone.build(shape, natural)
        return Member(embedder, loss.build(images.num_classes, backbone.dim))

    unit = count_flops(backbone.build_random(shape), shape)
    # The same seed for every defense: their first members start from the same weights.
    anywhere = portable(key)
    seed_everything("model", anywhere.dataset, anywhere.backbone, anywhere.loss, anywhere.seed)
    model = DEFENSES.build(key.defense).build(make_member, images.labels)
    # About 1.2 times as fast for convolutions, on processors and GPUs alike.
    return model.to(memory_format=torch.channels_last), unit


def make_model(job: TrainJob, place: RunContext, store: Store) -> ModelRecord:
    """Trains a model and writes its checkpoint; part of a model's identity, as `build_model` is."""
    recipe = Recipe(**job.recipe)
    images, held_out = training_images(recipe, load_data(job.key.dataset, place.folders))
    model, unit = build_model(job.key, images)
    defense = DEFENSES.build(job.key.defense)
    made_by = provenance(place.device, place.commit)
    trained = train(
        defense,
        model,
        images,
        recipe,
        job.eps,
        unit,
        place.device,
        epochs=job.epochs,
        held_out=held_out,
        save_point=SavePoint(store.unfinished(job.id), place.save_every, made_by.packages),
    )
    write_atomically(store.checkpoint(job.id), lambda path: save_model(model, str(path)))
    return ModelRecord(
        id=job.id,
        key=job.key,
        status="done",
        seconds=trained.seconds,
        waited=trained.waited,
        cost=trained.cost,
        relative_cost=trained.relative_cost,
        embed_cost=trained.embed_cost,
        epochs=trained.epochs,
        resumed=trained.resumed,
        curve=trained.curve,
        validations=[
            ValidationResult(
                epoch=look.epoch, clean_map_r=look.clean_map_r, attacked_map_r=look.attacked_map_r
            )
            for look in trained.looks
        ],
        best_epoch=trained.best_epoch,
        recipe=job.recipe,
        provenance=made_by,
    )


def job_of(record: ModelRecord) -> TrainJob:
    """The job of a finished training, to read its checkpoint by; the radius that it had is not kept."""
    return TrainJob(
        id=record.id, key=record.key, recipe=record.recipe, epochs=record.epochs, eps=float("nan")
    )


def load_trained(job: TrainJob, place: RunContext, store: Store) -> tuple[Embedder, int]:
    """A trained model from its checkpoint, in evaluation mode, its parameters frozen.

    Raises:
        CheckpointError: when the checkpoint is missing, damaged, or does not fit.
    """
    images, _ = training_images(Recipe(**job.recipe), load_data(job.key.dataset, place.folders))
    model, unit = build_model(job.key, images, random=True)
    path = store.checkpoint(job.id)
    try:
        load_model(model, str(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).split("\n", 1)[0]
        raise CheckpointError(
            f"The checkpoint {path} cannot be used ({reason}); delete it and run again."
        ) from None
    model.eval().requires_grad_(False)
    fold_batch_norm(model)
    return model.to(place.device), unit
