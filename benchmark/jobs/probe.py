"""The cost of a training step, measured by taking a few steps on a small model."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from benchmark.core.embedder import Embedder
from benchmark.core.errors import TrainingError
from benchmark.core.hardware import one_thread
from benchmark.data import Folders, ImageSet
from benchmark.jobs.models import build_model, load_data, training_images
from benchmark.losses import SCALAR_ADVICE, on_tuples, wrong_loss
from benchmark.models import PassCounter, check_trainable, frozen, frozen_embedders
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
BACKBONE = "smallconv"
"""The backbone of the small model."""
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


class Probed(NamedTuple):
    """What a small model showed.

    Attributes:
        costs: without those of similarities, which depend on the backbone.
        dim: dimensions of its embeddings.
        flops: of its cost unit.
    """

    costs: Costs
    dim: int
    flops: int


@one_thread()
def probe_here(key: ModelKey, recipe: Recipe, folders: Folders) -> Probed:
    """Builds a new small model, and takes a few training steps in this process.

    Args:
        key: which model, with the backbone `BACKBONE`.
        recipe: how it is trained.
        folders: where data sets are.

    Raises:
        Exception: any error of a plugin.
    """
    data, defense = load_data(key.dataset, folders), DEFENSES.build(key.defense)
    if not defense.trained:
        model, unit = build_model(key, data.test)
        shape = data.test.image_shape
        units = PassCounter(model, shape, unit).per_image
        return Probed(Costs(0.0, units, 0, model.randomised), _dimensions(model, shape), unit)
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
    return Probed(costs, _dimensions(model, shape), unit)


def _dimensions(model: Embedder, shape: tuple[int, int, int]) -> int:
    """Dimensions of a model's embeddings."""
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    with torch.random.fork_rng([]), frozen(model), torch.no_grad():
        return model(torch.zeros(1, *shape, device=device)).shape[1]
