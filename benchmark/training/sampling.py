"""The order in which an epoch takes the images."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.core.embedder import Embedder
from benchmark.core.errors import TrainingError
from defenses import Defense, wrong_strata


def strata_of(defense: Defense, model: Embedder, count: int) -> Tensor | None:
    """Returns the stratum of each training image, shape (count,), on the CPU; None where there are none.

    Raises:
        TrainingError: when the defense's `strata` are no such tensor.
    """
    strata = defense.strata(model)
    if strata is None:
        return None
    if reason := wrong_strata(strata, count):
        raise TrainingError(f"{defense.spec}: {reason}. Return one int64 from 0 for each training image.")
    return strata.cpu()


def epoch_order(
    labels: Tensor, batch_size: int, per_class: int | None, strata: Tensor | None = None
) -> Tensor:
    """Draws the order in which an epoch takes the images, from torch's global generator.

    pytorch-metric-learning's sampler is not used: it requires a batch size that is a multiple of `per_class`,
    and enough classes to fill a batch.

    Args:
        labels: class of each image, shape (n,), on the CPU.
        batch_size: images in a batch, at most n.
        per_class: images of each class in a batch, for losses on the tuples of a batch; None takes all images
            once in random order. At most half of the batch is of one class, so that tuples exist. Where there
            are too few classes to fill the batch, each gets the smallest larger number that does. Where the
            batch size is no multiple, the last class gets fewer. A class with too few images repeats some.
        strata: stratum of each image, shape (n,), on the CPU: every batch of the epoch then holds the same
            number of images of each, as `stratum_sizes` draws it. Which images of a stratum are left out, or
            taken once more in a later batch, is drawn anew in each epoch. With `per_class`, the images of a
            class are spread over the strata; a class without an image of a stratum leaves its place to the
            others of the batch.

    Returns:
        Indices, int64, for at least n // batch_size complete batches.
    """
    number = max(1, len(labels) // batch_size)
    sizes = None if strata is None else stratum_sizes(strata, batch_size)
    if per_class is None:
        if strata is None or sizes is None:
            return torch.randperm(len(labels))
        return _stratified_order(strata, sizes, number)
    members = [(labels == label).nonzero()[:, 0] for label in labels.unique()]
    # At most half of the batch: a tuple needs two classes.
    per_class = max(min(per_class, batch_size // 2), -(-batch_size // len(members)))
    batches = []
    for _ in range(number):
        drawn = torch.randperm(len(members))[: -(-batch_size // per_class)].tolist()
        classes = [members[label] for label in drawn]
        if strata is None or sizes is None:
            batches.append(torch.cat([_sample(images, per_class) for images in classes])[:batch_size])
        else:
            batches.append(_stratified_batch(classes, per_class, strata, sizes))
    return torch.cat(batches)


def stratum_sizes(strata: Tensor, batch_size: int) -> list[int]:
    """Draws how many images of each stratum the batches of an epoch hold.

    In proportion to the strata, rounded up or down at random so that on average every image is equally
    likely (systematic sampling).

    Args:
        strata: stratum of each image, from 0, int64, shape (n,), on the CPU.
        batch_size: images in a batch, at most n.

    Returns:
        A number for each stratum; their sum is the batch size.
    """
    count = len(strata)
    ends = strata.bincount().cumsum(0) * batch_size
    rounded = (ends + torch.randint(count, ())) // count
    return rounded.diff(prepend=torch.zeros(1, dtype=torch.int64)).tolist()


def _stratified_order(strata: Tensor, sizes: list[int], number: int) -> Tensor:
    """Draws so many batches of fixed composition, in random order within each, shape (number * batch,)."""
    columns = []
    for stratum, size in enumerate(sizes):
        images = (strata == stratum).nonzero()[:, 0]
        images = images[torch.randperm(len(images))]
        # Where a stratum is too small for all batches, the images of the first batch come again in the last.
        rounds = -(-number * size // max(1, len(images)))
        columns.append(images.repeat(rounds)[: number * size].view(number, size))
    batches = torch.cat(columns, dim=1)
    return batches.gather(1, torch.rand(batches.shape).argsort(1)).flatten()


def _stratified_batch(classes: list[Tensor], per_class: int, strata: Tensor, sizes: list[int]) -> Tensor:
    """Draws one batch of fixed composition with `per_class` images of each class, shape (batch,).

    Args:
        classes: the images of each class of the batch.
        per_class: images of a class.
        strata: stratum of each image.
        sizes: images of each stratum in the batch.
    """
    # Places of a stratum are spread evenly, and turned, so that no class always gets the surplus.
    spread = torch.cat([(torch.arange(size) + 0.5) / max(1, size) for size in sizes])
    places = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))[spread.argsort(stable=True)]
    places = places.roll(int(torch.randint(len(places), ())))
    found, open_places = [], [0] * len(sizes)
    for images, wanted in zip(classes, places.split(per_class), strict=False):
        for stratum, count in enumerate(wanted.bincount(minlength=len(sizes)).tolist()):
            own = images[strata[images] == stratum]
            if count and len(own):
                found.append(_sample(own, count))
            elif count:
                open_places[stratum] += count
    for stratum, count in enumerate(open_places):
        if count:
            anywhere = (strata == stratum).nonzero()[:, 0]
            beside = anywhere[torch.isin(anywhere, torch.cat(classes))]
            found.append(_sample(beside if len(beside) else anywhere, count))
    return torch.cat(found)


def _sample(members: Tensor, count: int) -> Tensor:
    """Samples `count` of the images, shape (count,), each at most once more often than any other."""
    rounds = -(-count // len(members))
    return torch.cat([members[torch.randperm(len(members))] for _ in range(rounds)])[:count]
