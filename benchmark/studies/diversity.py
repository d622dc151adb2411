"""Diversity of the members of an ensemble: their input gradients, and how attacks transfer between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import nan
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attacks import ATTACKS, OBJECTIVES, Problem
from attacks.optimisers.evaluation import score_and_gradient
from benchmark.core.embedder import Embedder
from benchmark.data import ImageSet
from benchmark.metrics import retrieve
from benchmark.report.worst_case import mean

OBJECTIVE = "neighbour"
ATTACK = f"pgd_decay[objective={OBJECTIVE},steps=20]"
CLASSES = 17
"""Classes of the pool whose images are queries: with 20 images each, 340 of them."""

DIVERSITY_COLUMNS = [
    "dataset", "defense", "seed", "members", "gradient_cosine", "clean_r1", "own_r1", "transferred_r1",
]  # fmt: skip
MATRIX_COLUMNS = ["dataset", "defense", "seed", "made_on", "tested_on", "r1"]


@dataclass(frozen=True)
class Diversity:
    """The measurements of one model; all values are fractions.

    Attributes:
        gradient_cosine: mean over images and pairs of members of the cosine between their input gradients,
            in [-1, 1]; nan for a single member.
        clean_r1: R@1 of each member on its own, shape (members,).
        transfer: R@1 of member j for queries that were attacked on member i, shape (members, members); i is
            the row.
    """

    gradient_cosine: float
    clean_r1: np.ndarray
    transfer: np.ndarray

    @property
    def members(self) -> int:
        """The number of members."""
        return len(self.clean_r1)

    @property
    def own_r1(self) -> float:
        """Mean of the diagonal: R@1 of a member under its own attack."""
        return float(np.diag(self.transfer).mean())

    @property
    def transferred_r1(self) -> float:
        """Mean off the diagonal: R@1 of a member under another's attack; nan for a single member."""
        return mean(self.transfer[~np.eye(self.members, dtype=bool)])


def diversity_row(model_key: dict[str, Any], found: Diversity) -> dict[str, Any]:
    """A row of `DIVERSITY_COLUMNS`."""
    return {
        **model_key,
        "members": found.members,
        "gradient_cosine": found.gradient_cosine,
        "clean_r1": float(found.clean_r1.mean()),
        "own_r1": found.own_r1,
        "transferred_r1": found.transferred_r1,
    }


def matrix_rows(model_key: dict[str, Any], found: Diversity) -> list[dict[str, Any]]:
    """A row of `MATRIX_COLUMNS` for each pair of members."""
    return [
        {**model_key, "made_on": i, "tested_on": j, "r1": float(found.transfer[i, j])}
        for i in range(found.members)
        for j in range(found.members)
    ]


def first_classes(pool: ImageSet, count: int = CLASSES) -> Tensor:
    """Indices of the images of the first classes of a pool, ascending; of all where it has no more."""
    return (pool.labels < count).nonzero().squeeze(1)


def measure(
    model: Embedder, pool: ImageSet, queries: Tensor, norm: str, eps: float, seed: int, device: str = "cpu"
) -> Diversity:
    """Measures each member of a trained model as a model of its own, with the clean pool as gallery.

    Args:
        model: in evaluation mode, its parameters frozen; a single model is its own only member.
        pool: the gallery.
        queries: indices in the pool of the images that are attacked, shape (q,).
        norm: "linf" or "l2", the ball of the attacks.
        eps: its radius in pixel space.
        seed: seed of the attacks' random starts.
        device: where the model is.
    """
    images, labels, attacked = pool.batch(slice(None), device), pool.labels.to(device), queries.to(device)
    problems = [
        Problem(member, images, labels, pool.ids, norm, eps, seed=seed, attacked=attacked)
        for member in model.members
    ]
    return Diversity(gradient_cosine(problems), _r1_of_each(problems, images), transfer_matrix(problems))


def gradient_cosine(problems: Sequence[Problem]) -> float:
    """Mean over images and pairs of members of the cosine between the members' input gradients.

    The gradient is that of the `neighbour` objective (the margin of Recall@1) for the member's own embedding
    of the clean image: the direction of the first step of an attack on this member. An image where a gradient
    is exactly zero has no direction, and is left out of that pair.

    Args:
        problems: the same images and queries, with one member each.

    Returns:
        A value in [-1, 1]; nan without two members, or without a gradient.
    """
    directions = [_gradients(problem) for problem in problems]
    cosines = [(one * other).sum(1) for one, other in combinations(directions, 2)]
    return mean(torch.cat(cosines).tolist()) if cosines else nan


def transfer_matrix(problems: Sequence[Problem]) -> np.ndarray:
    """Measures R@1 of each member for queries that were attacked on each member.

    Args:
        problems: the same images and queries, with one member each; the gallery is clean.

    Returns:
        Fractions, shape (members, members): rows are the members that were attacked, columns those that embed
        the images. The diagonal is each member under its own attack.
    """
    attack = ATTACKS.build(ATTACK)
    return np.stack([_r1_of_each(problems, attack.run(source).images) for source in problems])


def _gradients(problem: Problem) -> Tensor:
    """Unit input gradients at the clean queries, shape (q, pixels), in double; nan where one is zero."""
    score = OBJECTIVES.build(OBJECTIVE).bind(problem)
    parts = [
        score_and_gradient(problem, score, problem.get_batch(index), index)[1]
        for index in problem.batches(problem.perturbed)
    ]
    gradients = problem.in_order(parts).flatten(1).double()
    return gradients / gradients.norm(dim=1, keepdim=True)


def _r1_of_each(problems: Sequence[Problem], images: Tensor) -> np.ndarray:
    """R@1 of each member for the queries as they are in `images`, shape (members,)."""
    return np.array([_r1(problem, images) for problem in problems])


def _r1(problem: Problem, images: Tensor) -> float:
    with torch.no_grad():
        parts = [problem.embedder(images[index]) for index in problem.batches(problem.perturbed)]
    chosen, labels, ids = problem.perturbed.cpu(), problem.labels.cpu(), problem.ids
    found = retrieve(
        problem.in_order(parts), problem.clean, labels[chosen], labels, ids[chosen], ids, ks=(1,)
    )
    return float(found.recall[1].double().mean())
