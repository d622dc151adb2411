"""Draws of a target for each image that depend on ids and seeds only."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.core.seeding import noise_per_image

CHUNK = 256
"""Images compared with the pool at a time."""


def draw(clean: Tensor, ids: Tensor, *parts: object, nearest: int | None = None) -> Tensor:
    """Draws another image for each image, all with equal probability.

    Each image gets one position on a circle as an item and one as a query; a query draws the allowed item
    that follows its own position. So a draw depends on ids and `parts`, and neither on the order of the pool
    nor on the order of the nearest images, which may differ with rounding and the samples of a randomized
    model.

    Args:
        clean: embeddings of the clean pool, unit vectors, shape (n, d), n >= 2.
        ids: ids of the images, shape (n,), on the CPU.
        parts: what else the draw depends on.
        nearest: number of most similar other images to draw from; all when not given.

    Returns:
        Indices in the pool, shape (n,), on the embeddings' device.
    """
    items, queries = noise_per_image((2,), ids, "robrank", *parts).to(clean.device).unbind(1)
    pool = torch.arange(len(clean), device=clean.device)
    drawn = []
    for index in pool.split(CHUNK):
        itself = index.unsqueeze(1) == pool
        if nearest is None:
            gap = ((items - queries[index].unsqueeze(1)) % 2).masked_fill(itself, torch.inf)
            drawn.append(gap.argmin(1))
            continue
        near = (clean[index] @ clean.t()).masked_fill(itself, -torch.inf).topk(nearest, dim=1).indices
        gap = (items[near] - queries[index].unsqueeze(1)) % 2
        drawn.append(near.gather(1, gap.argmin(1, keepdim=True)).squeeze(1))
    return torch.cat(drawn)


DIRECTIONS = 16
"""Dimensions of the random vectors whose products decide a drawn order."""


def nearest_in_drawn_order(clean: Tensor, ids: Tensor, count: int, *parts: object) -> Tensor:
    """Draws an order of each image's most similar other images.

    Each image gets a random vector as an item and one as a query; a query's items are sorted by their
    products with its own. So the order of two images depends on ids and `parts` only, as in `draw`.

    Args:
        clean: embeddings of the clean pool, unit vectors, shape (n, d), n > count.
        ids: ids of the images, shape (n,), on the CPU.
        count: number of most similar other images.
        parts: what else the draw depends on.

    Returns:
        Indices in the pool, shape (n, count), on the embeddings' device.
    """
    drawn = noise_per_image((2, DIRECTIONS), ids, "robrank", *parts, normal=True).to(clean.device)
    items, queries = drawn.unbind(1)
    pool, orders = torch.arange(len(clean), device=clean.device), []
    for index in pool.split(CHUNK):
        itself = index.unsqueeze(1) == pool
        near = (clean[index] @ clean.t()).masked_fill(itself, -torch.inf).topk(count, dim=1).indices
        places = (items[near] * queries[index].unsqueeze(1)).sum(2).argsort(1)
        orders.append(near.gather(1, places))
    return torch.cat(orders)


def one_percent(count: int) -> int:
    """Returns 1 % of a pool's size, rounded down, at least one image."""
    return max(1, count // 100)


def nearest_of_other_classes(clean: Tensor, labels: Tensor) -> Tensor:
    """Finds the most similar image of another class for each image.

    Args:
        clean: embeddings of the clean pool, unit vectors, shape (n, d).
        labels: classes, shape (n,).

    Returns:
        Indices in the pool, shape (n,).
    """
    nearest = []
    for index in torch.arange(len(clean), device=clean.device).split(CHUNK):
        same = labels[index].unsqueeze(1) == labels
        nearest.append((clean[index] @ clean.t()).masked_fill(same, -torch.inf).argmax(1))
    return torch.cat(nearest)
