"""The order in which an epoch takes the images."""

from __future__ import annotations

import torch
from torch import Tensor


def epoch_order(labels: Tensor, batch_size: int, per_class: int | None) -> Tensor:
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

    Returns:
        Indices, int64, for at least n // batch_size complete batches.
    """
    if per_class is None:
        return torch.randperm(len(labels))
    members = [(labels == label).nonzero()[:, 0] for label in labels.unique()]
    # At most half of the batch: a tuple needs two classes.
    per_class = max(min(per_class, batch_size // 2), -(-batch_size // len(members)))
    batches = []
    for _ in range(max(1, len(labels) // batch_size)):
        classes = torch.randperm(len(members))[: -(-batch_size // per_class)].tolist()
        images = torch.cat([_sample(members[label], per_class) for label in classes])
        batches.append(images[:batch_size])
    return torch.cat(batches)


def _sample(members: Tensor, count: int) -> Tensor:
    """Samples `count` of the images, shape (count,), each at most once more often than any other."""
    rounds = -(-count // len(members))
    return torch.cat([members[torch.randperm(len(members))] for _ in range(rounds)])[:count]
