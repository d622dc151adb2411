"""The models of a run: built for a training, or read from their checkpoint for an attack."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import torch

from benchmark.core.embedder import Embedder
from benchmark.core.errors import BenchmarkError, TrainingError
from benchmark.core.seeding import seed_everything
from benchmark.data import DATASETS, Folders, ImageSet, Split
from benchmark.losses import LOSSES, wrong_criterion
from benchmark.models import (
    BACKBONES,
    CHECKED_IMAGES,
    Backbone,
    BackboneEmbedder,
    Member,
    check_saveable,
    count_flops,
    wrong_backbone,
)
from benchmark.models.own import OwnEmbedder
from benchmark.records import ModelKey
from benchmark.training import Recipe
from defenses import DEFENSES, Defense

UNUSED = "none"
"""The backbone and loss in the key of a model that is not trained, where no trained one is beside it."""

FEWEST_TO_HOLD_OUT = 10
"""Training classes from which some are held out for validation."""

MOST_HELD_OUT = 1000
"""Images that are held out at most: more cost much memory and time, and add little."""


@lru_cache(maxsize=4)
def load_data(dataset: str, folders: Folders) -> Split:
    """Loads a data set by its spec; the latest few are kept in memory."""
    return DATASETS.build(dataset).load(folders)


def short_name(key: ModelKey) -> str:
    """What readers see in place of the defense or own model of a key; it holds no folder."""
    return DEFENSES.build(key.defense).short_name


def portable(key: ModelKey) -> ModelKey:
    """Removes from a key what seeds must not depend on: paths, and what an untrained model does not use."""
    dataset, defense = DATASETS.build(key.dataset).portable, DEFENSES.build(key.defense)
    kept = {"dataset": dataset, "defense": defense.portable}
    if not defense.trained:
        return key.model_copy(update={**kept, "backbone": UNUSED, "loss": UNUSED})
    backbone, loss = BACKBONES.build(key.backbone), LOSSES.build(key.loss)
    return key.model_copy(update={**kept, "backbone": backbone.portable, "loss": loss.portable})


def training_images(recipe: Recipe, data: Split) -> tuple[ImageSet, ImageSet | None]:
    """Splits the training images into those that models are trained on and those held out for validation.

    Nothing is held out of fewer than ten training classes, which could not spare the two that a score needs.
    """
    if not recipe.validation or data.train.num_classes < FEWEST_TO_HOLD_OUT:
        return data.train, None
    return data.train.hold_out(recipe.validation, MOST_HELD_OUT)


def few_images(pool: ImageSet, device: torch.device | str) -> torch.Tensor:
    """Takes a few images from all over a pool, to check a model on, shape (n, C, H, W), on the device."""
    return pool.batch(torch.linspace(0, len(pool) - 1, CHECKED_IMAGES).long(), device)


def build_model(
    key: ModelKey,
    images: ImageSet,
    random: bool = False,
    trained: Mapping[str, Embedder] | None = None,
) -> tuple[Embedder, int]:
    """Builds an untrained model, and counts the FLOPs of the cell's plain backbone.

    Args:
        key: which model.
        images: what it is trained on.
        random: do not read pretrained weights, because others replace them or only costs are counted.
        trained: the trained models that the defense needs, by their specs as written in `needs`; untrained
            ones of the same structure when not given.

    Raises:
        TrainingError: when a model that the defense needs is no longer frozen.
        BenchmarkError: when the model holds what a checkpoint cannot, or the backbone, the loss or the
            defense builds something else than it should.
    """
    defense = DEFENSES.build(key.defense)
    if not defense.trained:
        return _untrained_model(defense, images)
    backbone = BACKBONES.build(key.backbone)
    loss = LOSSES.build(key.loss)
    natural = DATASETS.build(key.dataset).natural
    shape = images.image_shape
    dim = backbone.embedding_dim(shape)

    def make_member() -> Member:
        embedder = backbone.build_random(shape) if random else backbone.build(shape, natural)
        criterion = loss.build(images.num_classes, dim)
        if reason := wrong_criterion(criterion):
            raise BenchmarkError(f"The loss {loss.short_name}: {reason}. Return Criterion(loss, cosines).")
        return Member(_checked(embedder, backbone, dim, shape), criterion, dim)

    if trained is None:
        trained = {text: _untrained_teacher(key, text, images) for text in defense.needs}
    unit = count_flops(_checked(backbone.build_random(shape), backbone, dim, shape), shape)
    # The same seed for every defense: their first members start from the same weights.
    anywhere = portable(key)
    seed_everything("model", anywhere.dataset, anywhere.backbone, anywhere.loss, anywhere.seed)
    model = defense.build_from(make_member, images.labels, trained)
    if not isinstance(model, Embedder):
        raise BenchmarkError(f"{defense.spec}: build returns {type(model).__name__}, not an Embedder.")
    check_teachers(defense, trained)
    check_saveable(model)
    # About 1.2 times as fast for convolutions, on processors and GPUs alike.
    return (model.to(memory_format=torch.channels_last) if backbone.channels_last else model), unit


def check_teachers(defense: Defense, trained: Mapping[str, Embedder]) -> None:
    """Checks that the models that a defense needs are still frozen.

    Raises:
        TrainingError: for the first that is not, and so would be trained, or was.
    """
    for text, teacher in trained.items():
        if any(parameter.requires_grad for parameter in teacher.parameters()):
            raise TrainingError(
                f"{defense.spec}: it sets requires_grad of trained['{text}'], which is the model of another "
                f"row. Train a copy: copy.deepcopy(trained['{text}']).requires_grad_(True)."
            )


def _checked(
    built: BackboneEmbedder, backbone: Backbone, dim: int, shape: tuple[int, int, int]
) -> BackboneEmbedder:
    """Returns what a backbone built.

    Raises:
        BenchmarkError: when it is no BackboneEmbedder, or its embeddings have another dimension.
    """
    if reason := wrong_backbone(built, torch.zeros(1, *shape), dim):
        raise BenchmarkError(f"The backbone {backbone.short_name}: {reason}.")
    return built


def _untrained_teacher(key: ModelKey, needed: str, images: ImageSet) -> Embedder:
    """Builds a model that a defense needs with random weights, frozen and in evaluation mode."""
    other = key.model_copy(update={"defense": DEFENSES.build(needed).spec})
    return build_model(other, images, random=True)[0].eval().requires_grad_(False)


def _varied(images: torch.Tensor) -> torch.Tensor:
    """Replaces black images, which stand in for a missing data set in a dry run, by noise."""
    if images.any():
        return images
    return torch.rand(images.shape, generator=torch.Generator().manual_seed(0))


def weights_of(model: OwnEmbedder) -> str:
    """Writes down by what an own model is known: its fingerprint, and what it was seen to return.

    Code can keep weights where no fingerprint looks; what it returns then is another model's all the same.
    """
    digits = 1 if model.is_rounded else 3
    return " ".join(
        [model.fingerprint, *(f"{round(cosine, digits) + 0.0:.{digits}f}" for cosine in model.seen)]
    )


_SEEN_APART = 5e-3
"""Largest difference of cosines that rounding makes, in float32 and for three digits."""


def check_weights(model: Embedder, expected: str) -> None:
    """Checks that an own model still is the one that the run was planned with.

    Args:
        model: as it was loaded.
        expected: what `weights_of` wrote then, or a fingerprint alone; empty to take any.

    Raises:
        BenchmarkError: when it is another.
    """
    if not (expected and isinstance(model, OwnEmbedder)):
        return
    fingerprint, *seen = expected.split()
    apart = [abs(float(cosine) - now) for cosine, now in zip(seen, model.seen, strict=False)]
    limit = 0.1 if model.is_rounded else _SEEN_APART
    if fingerprint != model.fingerprint or max(apart, default=0.0) > limit:
        raise BenchmarkError(
            f"{model.title} has not the weights that the run was planned with: a file changed since, or its "
            "function draws others at each call. Start the run again, or save them and give --weights FILE."
        )


def _untrained_model(defense: Defense, images: ImageSet) -> tuple[Embedder, int]:
    """Builds a model that is not trained; its own forward pass is the unit of its costs.

    It gets no labels: the only images may be those that it is attacked on.
    """

    def no_member() -> Member:
        raise TypeError(f"{defense.spec} is not trained, so it gets no members.")

    seed_everything("model", defense.portable)
    model = defense.build(no_member, images.labels[:0]).eval()
    model.settle(_varied(few_images(images, "cpu")))
    return model, max(1, count_flops(model, images.image_shape))
