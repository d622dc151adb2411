"""Draws the pairs of verification, which depend only on labels and ids."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from benchmark.core.errors import BenchmarkError
from benchmark.core.seeding import derive_seed


@dataclass(frozen=True, eq=False)
class Pairs:
    """One pair per image of a pool, on the CPU: the image, which may be attacked, and its clean partner.

    Attributes:
        partner: index of each image's partner, never its own, int64, shape (n,).
        same: whether the partner has the same class, bool, shape (n,).
    """

    partner: Tensor
    same: Tensor


def verification_pairs(labels: Tensor, ids: Tensor) -> Pairs:
    """Draws a partner for each image, from the image's own class for half of them.

    The partners depend only on labels and ids, not on the order of the pool, a model or a training seed. An
    image alone in its class gets a partner of another class; where such images are more than half, fewer
    than half of the pairs are positive. Each image is the attacked side of exactly one pair, and the partner
    in any number of pairs. With several pairs per attacked image, the attack would have to approach several
    partners at once, approach each less, and be understated.

    Args:
        labels: integer classes, at least two, shape (n,).
        ids: integers that identify the images, all different, shape (n,).

    Returns:
        The partners and whether each pair is positive, in the order of the pool.

    Raises:
        BenchmarkError: when the shapes do not fit or there is only one class.
    """
    if labels.ndim != 1 or labels.shape != ids.shape:
        raise BenchmarkError(f"Pairs: labels of shape {tuple(labels.shape)}, ids of {tuple(ids.shape)}.")
    classes, names = labels.tolist(), ids.tolist()
    total = len(names)
    # The pool as a ring in which each class is one block: images of other classes are those after the block.
    ring = sorted(range(total), key=lambda index: (classes[index], names[index]))
    first: dict[int, int] = {}
    size: dict[int, int] = {}
    for position, index in enumerate(ring):
        first.setdefault(classes[index], position)
        size[classes[index]] = size.get(classes[index], 0) + 1
    if len(size) < 2:
        raise BenchmarkError("Pairs: the pool has fewer than two classes, so there is no negative pair.")
    mates = [index for index in range(total) if size[classes[index]] > 1]
    mates.sort(key=lambda index: derive_seed("positive pair", names[index]))
    positive = set(mates[: total // 2])
    partner = torch.zeros(total, dtype=torch.int64)
    for position, index in enumerate(ring):
        start, members = first[classes[index]], size[classes[index]]
        draw = Random(derive_seed("partner", names[index]))
        if index in positive:
            chosen = start + (position - start + 1 + draw.randrange(members - 1)) % members
        else:
            chosen = (start + members + draw.randrange(total - members)) % total
        partner[index] = ring[chosen]
    same = torch.zeros(total, dtype=torch.bool)
    same[list(positive)] = True
    return Pairs(partner, same)
