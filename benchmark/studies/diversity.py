"""How unlike the members of an ensemble are: their input gradients, and how attacks pass between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import nan

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


@dataclass(frozen=True)
class Diversity:
    """What was measured of one model; all figures are fractions.

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
        """Mean of the diagonal: what is left of a member under its own attack."""
        return float(np.diag(self.transfer).mean())

    @property
    def transferred_r1(self) -> float:
        """Mean off the diagonal: what is left of a member under another's attack; nan for a single member."""
        return mean(self.transfer[~np.eye(self.members, dtype=bool)])


def first_classes(pool: ImageSet, count: int = CLASSES) -> Tensor:
    """Indices of the images of the first classes of a pool, ascending; of all where it has no more."""
    return (pool.labels < count).nonzero().squeeze(1)


def measure(
    model: Embedder, pool: ImageSet, queries: Tensor, norm: str, eps: float, seed: int, device: str = "cpu"
) -> Diversity:
    """Measures the members of a trained model, each as a model of its own with the clean pool as gallery.

    Args:
        model: in evaluation mode, its parameters frozen; one that is no ensemble is its own only member.
        pool: the gallery.
        queries: indices in the pool of the images that are looked at, shape (q,).
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

    The gradient is that of the `neighbour` objective, Recall@1's own margin, of the member's own embedding at
    the clean image: the direction of the first step of the attack that breaks this member. An image where a
    gradient is exactly zero has no direction, and is left out of that pair.

    Args:
        problems: the same images and targets, with one member each.

    Returns:
        A figure in [-1, 1]; nan without two members, or without a gradient.
    """
    directions = [_gradients(problem) for problem in problems]
    cosines = [(one * other).sum(1) for one, other in combinations(directions, 2)]
    return mean(torch.cat(cosines).tolist()) if cosines else nan


def transfer_matrix(problems: Sequence[Problem]) -> np.ndarray:
    """R@1 of each member for queries that were attacked on each.

    Args:
        problems: the same images and targets, with one member each; targets query the clean images.

    Returns:
        Fractions, shape (members, members): rows are the members that the images were made on, columns those
        that embed them. The diagonal is each member under its own attack.
    """
    attack = ATTACKS.build(ATTACK)
    return np.stack([_r1_of_each(problems, attack.run(source).images) for source in problems])


def _gradients(problem: Problem) -> Tensor:
    """Unit input gradients at the clean targets, shape (t, pixels), in double; nan where one is zero."""
    score = OBJECTIVES.build(OBJECTIVE).bind(problem)
    parts = [
        score_and_gradient(problem, score, problem.get_batch(index), index)[1]
        for index in problem.batches(problem.perturbed)
    ]
    gradients = torch.cat(parts).flatten(1).double()
    return gradients / gradients.norm(dim=1, keepdim=True)


def _r1_of_each(problems: Sequence[Problem], images: Tensor) -> np.ndarray:
    """R@1 of each member for the targets as they are in `images`, shape (members,)."""
    return np.array([_r1(problem, images) for problem in problems])


def _r1(problem: Problem, images: Tensor) -> float:
    with torch.no_grad():
        parts = [problem.embedder(images[index]) for index in problem.batches(problem.perturbed)]
    chosen, labels, ids = problem.perturbed.cpu(), problem.labels.cpu(), problem.ids
    found = retrieve(torch.cat(parts), problem.clean, labels[chosen], labels, ids[chosen], ids, ks=(1,))
    return float(found.recall[1].double().mean())
