"""The cost of a training step, measured by taking a few steps on a small model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from benchmark.core.child_process import call_in_children
from benchmark.core.cpu import cores
from benchmark.core.embedder import Embedder
from benchmark.core.errors import BenchmarkError, TrainingError
from benchmark.core.hardware import one_thread
from benchmark.core.own_line import explain, files_of
from benchmark.data import Folders, ImageSet
from benchmark.jobs.models import UNUSED, build_model, load_data, training_images
from benchmark.losses import LOSSES, SCALAR_ADVICE, on_tuples, wrong_loss
from benchmark.models import BACKBONES, PassCounter, check_trainable, count_flops, frozen, frozen_embedders
from benchmark.plugins.reach import is_project
from benchmark.records import ModelKey
from benchmark.training import Recipe, TrainingAttack
from benchmark.training.sampling import epoch_order, strata_of
from defenses import DEFENSES, Batch


class Costs(NamedTuple):
    """Costs of one image, in units of a forward pass of one image through the plain backbone.

    Attributes:
        step: of a training step.
        embed: of embedding it.
        images: how many images a model of this kind is trained on.
        randomised: whether the model is randomised.
        similarity: of comparing it with every image of the test pool, by FLOPs.
    """

    step: float
    embed: float
    images: int
    randomised: bool
    similarity: float = 0.0


_OWN_SIDE = 32
"""Side in pixels up to which a step is probed on the images themselves."""
_SIDE = 16
"""Side of the random images that stand in for larger ones, on which the cost does not depend."""
_BACKBONE = "smallconv"
_LARGEST = 64
_CLASSES = 1000
"""Classes that a loss is probed with at most: its proxies decide the time of a step, and not its cost."""
_BATCHES = 8
"""Steps whose cost is averaged. It may depend on the progress of the training, over which they are spread,
and on the batch (as with mined triplets)."""


def _batches(labels: Tensor, size: int, per_class: int | None, strata: Tensor | None) -> Iterator[Tensor]:
    """Yields batches of image indices without end, drawn as in training."""
    order = labels[:0]
    while True:
        if per_class is None or len(order) < size:
            order = epoch_order(labels, size, per_class, strata)
        yield order[:size]
        order = order[size:]


def _renumbered(labels: Tensor, classes: int) -> Tensor:
    """Numbers the classes of a batch anew where all classes are too many; equal labels stay equal."""
    return labels if classes <= _CLASSES else labels.unique(return_inverse=True)[1]


class _Probed(NamedTuple):
    """What a small model showed.

    Attributes:
        costs: without those of similarities, which depend on the backbone.
        dim: dimensions of its embeddings.
        flops: of its cost unit.
    """

    costs: Costs
    dim: int
    flops: int


@dataclass
class _Found:
    """What is known of a kind of model: what it showed, or why it showed nothing; None before it is asked."""

    probed: _Probed | Exception | None = None


@lru_cache(maxsize=1024)
def _found(key: ModelKey, recipe: Recipe, folders: Folders) -> _Found:
    return _Found()


@one_thread()
def _probe(key: ModelKey, recipe: Recipe, folders: Folders) -> _Probed:
    data, defense = load_data(key.dataset, folders), DEFENSES.build(key.defense)
    if not defense.trained:
        model, unit = build_model(key, data.test)
        shape = data.test.image_shape
        units = PassCounter(model, shape, unit).per_image
        return _Probed(Costs(0.0, units, 0, model.randomised), _dimensions(model, shape), unit)
    images, _ = training_images(recipe, data)
    # The cost of a step depends neither on the backbone nor on the images' size.
    channels, height, width = images.image_shape
    shape = images.image_shape if max(height, width) <= _OWN_SIDE else (channels, _SIDE, _SIDE)
    labels = images.labels if images.num_classes <= _CLASSES else images.labels % _CLASSES
    blank = ImageSet(torch.zeros(1, 1, 1, 1).expand(len(images), *shape), labels, images.ids)
    model, unit = build_model(key, blank, random=True)
    size = min(recipe.batch_size, _LARGEST, len(images))
    strata = strata_of(defense, model, len(images))
    draws = _batches(images.labels, size, recipe.images_per_class if on_tuples(model) else None, strata)
    trained = any(True for _ in model.parameters())
    if trained:
        check_trainable(model, defense.spec)
    held = frozen_embedders(model)
    model.train()
    for part in held:
        part.eval()
    with PassCounter(model, shape, unit, everywhere=True) as counter:
        for number, index in enumerate(islice(draws, _BATCHES if trained else 0)):
            seen = images.batch(index) if shape == images.image_shape else torch.rand(size, *shape)
            labels = _renumbered(images.labels[index], images.num_classes)
            in_batch = None if strata is None else strata[index]
            batch = Batch(seen, labels, index, (number + 0.5) / _BATCHES, in_batch)
            loss = defense.loss(model, batch, TrainingAttack(0.1, recipe.inner_steps, 0.5))
            if reason := wrong_loss(loss):
                raise TrainingError(f"{reason}. {SCALAR_ADVICE}")
            loss.backward()
    step = counter.total / (_BATCHES * size)
    costs = Costs(step, counter.per_image, len(images), model.randomised)
    return _Probed(costs, _dimensions(model, shape), unit)


def _dimensions(model: Embedder, shape: tuple[int, int, int]) -> int:
    """Dimensions of a model's embeddings."""
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    with torch.random.fork_rng([]), frozen(model), torch.no_grad():
        return model(torch.zeros(1, *shape, device=device)).shape[1]


@lru_cache(maxsize=64)
def _flops(backbone: str, shape: tuple[int, int, int]) -> int:
    """FLOPs of a forward pass through the plain backbone."""
    with one_thread():
        return count_flops(BACKBONES.build(backbone).build_random(shape), shape)


def _with_similarity(found: _Probed, key: ModelKey, folders: Folders) -> Costs:
    """Adds the cost of comparing an image with the pool, in units of the model's own backbone."""
    pool = load_data(key.dataset, folders).test
    shape, backbone = pool.image_shape, _BACKBONE if key.backbone == UNUSED else key.backbone
    dim, flops = float(found.dim), found.flops
    if DEFENSES.build(key.defense).trained:
        small, own = BACKBONES.build(_BACKBONE), BACKBONES.build(backbone)
        dim *= own.embedding_dim(shape) / small.embedding_dim(shape)
        flops = _flops(backbone, shape)
    elif not found.costs.embed:  # without a network: the unit is that of the rows beside it
        flops = _flops(backbone, shape)
    return found.costs._replace(similarity=2.0 * len(pool) * dim / flops)


def _kind(key: ModelKey, recipe: Recipe) -> tuple[ModelKey, Recipe]:
    """Keeps only what the cost of a step depends on, so that models that agree in that are probed once."""
    small = Recipe(
        validation=recipe.validation,
        inner_steps=recipe.inner_steps,
        batch_size=recipe.batch_size,
        images_per_class=recipe.images_per_class,
    )
    return key.model_copy(update={"seed": 0, "backbone": _BACKBONE}), small


def _probe_or_say_why(key: ModelKey, recipe: Recipe, folders: Folders) -> _Probed:
    """Probes a kind of model; any error is a `BenchmarkError`, as its traceback ends with this process."""
    try:
        return _probe(key, recipe, folders)
    except BenchmarkError:
        raise
    except (Exception, SystemExit) as error:
        raise BenchmarkError(explain(error, files_of(type(DEFENSES.build(key.defense))))) from None


def probe_all(models: Iterable[tuple[ModelKey, Recipe]], folders: Folders) -> None:
    """Probes models that are not known yet, on all cores; what is found, or fails, is kept for `probe`.

    A plugin's code runs in processes of its own: one that ends its process fails alone.

    Args:
        models: the models, each with its recipe.
        folders: where data sets are.
    """
    kinds = dict.fromkeys((*_kind(key, recipe), folders) for key, recipe in models)
    new = [kind for kind in kinds if _found(*kind).probed is None]
    # What each process would else load or import on its own:
    for dataset in dict.fromkeys(key.dataset for key, _, _ in new):
        load_data(dataset, folders)
    for loss in map(LOSSES.build, dict.fromkeys(key.loss for key, _, _ in new if key.loss != UNUSED)):
        if is_project(type(loss).__module__):
            loss.build(2, 2)
    answers = call_in_children([partial(_probe_or_say_why, *kind) for kind in new], cores())
    for kind, answer in zip(new, answers, strict=True):
        _found(*kind).probed = answer


def probe(key: ModelKey, recipe: Recipe, folders: Folders) -> Costs:
    """Measures costs by a few training steps of a new model; they do not depend on the model's seed.

    Args:
        key: which model.
        recipe: how it is trained.
        folders: where data sets are.

    Raises:
        BenchmarkError: when a plugin fails.
    """
    probe_all([(key, recipe)], folders)
    probed = _found(*_kind(key, recipe), folders).probed
    if isinstance(probed, Exception):
        raise probed
    assert probed is not None
    return _with_similarity(probed, key, folders)


def costs_of(key: ModelKey, recipe: Recipe, folders: Folders) -> Costs:
    """Measures the costs of a model; for a plugin that fails, returns those of a plain model.

    The plugin's error is reported when its job runs.
    """
    try:
        return probe(key, recipe, folders)
    except BenchmarkError:
        return Costs(3.0, 1.0, len(load_data(key.dataset, folders).train), False)
