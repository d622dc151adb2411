"""Drawing a target for each image, in a way that nothing else of the run can change."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.core.seeding import noise_per_image

CHUNK = 256


def draw(clean: Tensor, ids: Tensor, *parts: object, nearest: int | None = None) -> Tensor:
    """Draws another image for each image, all being equally likely.

    Every image gets a place on a circle as an item and another as a query; a query draws the allowed item
    that comes next after its own place. So a draw depends on ids and the parts, not on the order of the pool;
    nor on that of the nearest images, in which rounding and a randomised model's passes may differ.

    Args:
        clean: embeddings of the clean pool, unit vectors, shape (n, d), n >= 2.
        ids: ids of the images, shape (n,), on the CPU.
        parts: what else the draw depends on.
        nearest: draw only from that many most similar other images.

    Returns:
        Indices in the pool, shape (n,), on the embeddings' device.
    """
    offered, wanted = noise_per_image((2,), ids, "robrank", *parts).to(clean.device).unbind(1)
    everything = torch.arange(len(clean), device=clean.device)
    found = []
    for index in everything.split(CHUNK):
        itself = index.unsqueeze(1) == everything
        if nearest is None:
            turn = ((offered - wanted[index].unsqueeze(1)) % 2).masked_fill(itself, torch.inf)
            found.append(turn.argmin(1))
            continue
        near = (clean[index] @ clean.t()).masked_fill(itself, -torch.inf).topk(nearest, dim=1).indices
        turn = (offered[near] - wanted[index].unsqueeze(1)) % 2
        found.append(near.gather(1, turn.argmin(1, keepdim=True)).squeeze(1))
    return torch.cat(found)


def one_percent(count: int) -> int:
    """How many images the nearest one per cent of a pool is, at least one."""
    return max(1, count // 100)


def nearest_of_other_classes(clean: Tensor, labels: Tensor) -> Tensor:
    """The index of the most similar image of another class, for each image, shape (n,)."""
    found = []
    for index in torch.arange(len(clean), device=clean.device).split(CHUNK):
        same = labels[index].unsqueeze(1) == labels
        found.append((clean[index] @ clean.t()).masked_fill(same, -torch.inf).argmax(1))
    return torch.cat(found)
