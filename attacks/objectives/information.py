"""Objective: lower the mutual information of classes and k-means' clusters."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from attacks.objectives.base import OBJECTIVES, Objective, with_gradient
from attacks.objectives.pool import PoolScore
from attacks.problem import Problem
from attacks.save_point import Stateful

FLOOR = 1e-3
"""Images added to each entry of the contingency table, so that its logarithm is finite."""

CHUNK = 4096
"""Images compared with all centroids at a time."""


class InformationScore(Stateful):
    """The score against k-means' clusters of the attacked pool, refitted once all images have moved.

    Args:
        problem: the attack's task.
        scale: sharpness of the soft assignment to clusters, divided by the standard deviation of the pool's
            cosines.
        refits: iterations of k-means per refit.
        pool: the score that pulls towards other classes.
        pull: its weight, divided by the same standard deviation.
    """

    constant: ClassVar[tuple[str, ...]] = ("labels", "sizes")

    def __init__(self, problem: Problem, scale: float, refits: int, pool: PoolScore, pull: float) -> None:
        self.pool = pool
        self.labels = problem.labels
        self.sizes = _counts(problem.labels, problem.centroids)
        self.scale = scale / problem.cosine_std
        self.refits = refits
        self.pull = pull / problem.cosine_std
        self._perturbed = len(problem.perturbed)
        self._observed = 0
        # Where k-means would converge on a clean pool; each refit then starts from the previous centroids.
        self.centroids = problem.centroids.clone()
        self._shift = -0.5 * self.centroids.square().sum(1)
        self.table = self.sizes.new_zeros(len(self.sizes), len(self.sizes))
        self._log_expected = torch.empty_like(self.table)
        self._fit()

    def observe(self, index: Tensor, embeddings: Tensor) -> None:
        """Records the current embeddings of the images at `index`; refits once all have moved."""
        self.pool.observe(index, embeddings)
        self._observed += len(index)
        if self._observed >= self._perturbed:
            self._observed = 0
            self._fit()

    def _logits(self, embeddings: Tensor) -> Tensor:
        """Half the negative squared distance to each centroid, up to a constant per image, (b, clusters)."""
        return torch.addmm(self._shift, embeddings, self.centroids.t())

    def _fit(self) -> None:
        """Runs a few iterations of k-means, then fills the contingency table, (classes, clusters)."""
        for _ in range(self.refits):
            sums, sizes = torch.zeros_like(self.centroids), torch.zeros_like(self.sizes)
            for part in self.pool.bank.split(CHUNK):
                nearest = self._logits(part).max(1).indices
                sums.index_add_(0, nearest, part)
                sizes += _counts(nearest, self.centroids)
            means = sums / sizes.clamp_min(1).unsqueeze(1)
            self.centroids.copy_(torch.where((sizes > 0).unsqueeze(1), means, self.centroids))
            self._shift.copy_(-0.5 * self.centroids.square().sum(1))
        self.table.zero_()
        for part, labels in zip(self.pool.bank.split(CHUNK), self.labels.split(CHUNK), strict=True):
            self.table.index_add_(0, labels, self._assignment(part))
        # By class and cluster: what the sizes of both alone would let expect.
        fractions = self.sizes / len(self.labels)
        torch.log(fractions.unsqueeze(1) * self.table.sum(0) + FLOOR, out=self._log_expected)

    def _assignment(self, embeddings: Tensor) -> Tensor:
        """Soft assignment of each image to the clusters, (b, clusters)."""
        return self._logits(embeddings).mul_(self.scale).softmax(1)

    def __call__(self, embeddings: Tensor, index: Tensor) -> Tensor:
        """Computes the negative pointwise mutual information of class and cluster, plus the pull."""
        given = embeddings.detach()
        with torch.no_grad():
            pointwise = self._pointwise(index)
            assignment = self._assignment(given)
            information = (assignment * pointwise).sum(1)
            direction = self.pool.direction(given, index).mul_(self.pull)
            values = (given * direction).sum(1).sub_(information)
            if not embeddings.requires_grad:
                return values
            # Of a softmax, times the gradient of its logits.
            slopes = pointwise.sub_(information.unsqueeze(1)).mul_(assignment)
            gradient = direction.addmm_(slopes, self.centroids, alpha=-self.scale)
        return with_gradient(values, embeddings, gradient)

    def _pointwise(self, index: Tensor) -> Tensor:
        """Returns the information of each cluster about each image's class, (b, clusters)."""
        labels = self.labels[index]
        # Without the image itself: its current cluster must not be an argument for staying there.
        itself = self._assignment(self.pool.bank.index_select(0, index))
        joint = self.table.index_select(0, labels).sub_(itself).clamp_min_(0).add_(FLOOR)
        return joint.log_().sub_(self._log_expected.index_select(0, labels))


def _counts(members: Tensor, clusters: Tensor) -> Tensor:
    """Counts the members of each cluster, (clusters,); unlike `bincount` without waiting for a device."""
    ones = clusters.new_ones(len(members))
    return clusters.new_zeros(len(clusters)).index_add_(0, members, ones)


@OBJECTIVES.register("information")
class Information(Objective):
    """-(information of the *attacked* image's k-means cluster about its class) + pull * `pool`.

    k-means is fitted on the attacked pool as it moves. With p_k the image's soft assignment to cluster k
    (softmax over scaled distances to the centroids) and T the contingency table of classes and clusters of
    all other images, the image moves to lower sum_k p_k log(T[y, k] n / (T[y, .] T[., k])), its part in the
    mutual information of classes and clusters, which AMI measures. `pool` leads images out of clusters whose
    soft assignment is saturated.

    Attributes:
        scale: factor on half the squared distances before the softmax, divided by the standard deviation of
            the pool's cosines.
        refits: iterations of k-means each time that all images have moved.
        pull: weight of `pool`, divided by the same standard deviation.
        neighbours: as in `pool`.
    """

    pooled: ClassVar[bool] = True
    capturable: ClassVar[bool] = True

    scale: PositiveFloat = 4.5
    refits: PositiveInt = 3
    pull: NonNegativeFloat = 0.7
    neighbours: PositiveInt = 5

    def bind(self, problem: Problem) -> InformationScore:
        """Returns the score, with clusters that start at the classes' clean centroids."""
        pool = PoolScore(problem, self.neighbours)
        return InformationScore(problem, self.scale, self.refits, pool, self.pull)
