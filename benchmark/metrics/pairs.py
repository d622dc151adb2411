"""The pairs of verification: drawn once, from labels and ids alone."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from benchmark.core.errors import BenchmarkError
from benchmark.core.seeding import derive_seed


@dataclass(frozen=True, eq=False)
class Pairs:
    """One pair for each image of a pool, on the CPU: the image, which may be attacked, and its partner.

    Attributes:
        partner: index of each image's clean partner, never its own, int64, shape (n,).
        same: whether the partner is of the same class, bool, shape (n,).
    """

    partner: Tensor
    same: Tensor


def verification_pairs(labels: Tensor, ids: Tensor) -> Pairs:
    """Draws a partner for each image: half of the images get one of their own class, half another class's.

    Who gets which depends on nothing but labels and ids: not on the order of the pool, a model or a training
    seed. An image alone in its class gets a partner of another class; where such images are more than half,
    fewer than half of the pairs are positive. An image is in one pair as the attacked side, and in any number
    of pairs as the partner. One pair alone, because an image that must approach several others at once
    approaches each less, and the attack would be understated.

    Args:
        labels: integer classes, at least two, shape (n,).
        ids: integers that name the images, each once, shape (n,).

    Raises:
        BenchmarkError: when the shapes do not fit or there is only one class.
    """
    if labels.ndim != 1 or labels.shape != ids.shape:
        raise BenchmarkError(f"Pairs: labels of shape {tuple(labels.shape)}, ids of {tuple(ids.shape)}.")
    classes, names = labels.tolist(), ids.tolist()
    total = len(names)
    # Images of a class stand together, in a ring: those of other classes are the ones that follow the block.
    ring = sorted(range(total), key=lambda index: (classes[index], names[index]))
    first: dict[int, int] = {}
    size: dict[int, int] = {}
    for place, index in enumerate(ring):
        first.setdefault(classes[index], place)
        size[classes[index]] = size.get(classes[index], 0) + 1
    if len(size) < 2:
        raise BenchmarkError("Pairs: the pool has fewer than two classes, so there is no negative pair.")
    mates = [index for index in range(total) if size[classes[index]] > 1]
    mates.sort(key=lambda index: derive_seed("positive pair", names[index]))
    positive = set(mates[: total // 2])
    partner = torch.zeros(total, dtype=torch.int64)
    for place, index in enumerate(ring):
        start, members = first[classes[index]], size[classes[index]]
        draw = Random(derive_seed("partner", names[index]))
        if index in positive:
            chosen = start + (place - start + 1 + draw.randrange(members - 1)) % members
        else:
            chosen = (start + members + draw.randrange(total - members)) % total
        partner[index] = ring[chosen]
    same = torch.zeros(total, dtype=torch.bool)
    same[list(positive)] = True
    return Pairs(partner, same)
