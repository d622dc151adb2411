"""Which images make up the batches of an epoch."""

from __future__ import annotations

import torch
from torch import Tensor


def epoch_order(labels: Tensor, batch_size: int, per_class: int | None) -> Tensor:
    """The images of an epoch in the order in which they are batched, drawn from torch's global generator.

    Args:
        labels: class of each image, shape (n,), on the CPU.
        batch_size: images in a batch, at most n.
        per_class: images of each class in a batch, for losses on the tuples of a batch, at most half of it;
            more, as few as will do, where there are too few classes to fill it, and fewer of the last class
            where the batch is no multiple; of a class with fewer images some come twice. None for all images
            in random order.

    Returns:
        Indices, int64, n // batch_size whole batches at least. (pytorch-metric-learning's sampler wants a
        batch size that is a multiple of `per_class`, and classes that suffice.)
    """
    if per_class is None:
        return torch.randperm(len(labels))
    members = [(labels == label).nonzero()[:, 0] for label in labels.unique()]
    # A tuple needs two classes.
    several = max(min(per_class, batch_size // 2), -(-batch_size // len(members)))
    batches = []
    for _ in range(max(1, len(labels) // batch_size)):
        chosen = torch.randperm(len(members))[: -(-batch_size // several)].tolist()
        images = torch.cat([_some(members[label], several) for label in chosen])
        batches.append(images[:batch_size])
    return torch.cat(batches)


def _some(members: Tensor, count: int) -> Tensor:
    """So many at random of some images, each at most once more often than any other."""
    rounds = -(-count // len(members))
    return torch.cat([members[torch.randperm(len(members))] for _ in range(rounds)])[:count]
