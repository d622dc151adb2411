"""Take from the clusters what they tell about the classes."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from attacks.objectives.base import OBJECTIVES, Objective
from attacks.objectives.pool import PoolScore
from attacks.problem import Problem

FLOOR = 1e-3
"""Images added to each entry of the table of classes and clusters, so that its logarithm is finite."""

CHUNK = 4096
"""Images that are compared with all centroids at a time."""


class InformationScore:
    """The score against k-means' clusters of the attacked pool, fitted again whenever all have moved.

    Args:
        problem: the attack's task.
        scale: sharpness of the soft assignment to clusters, over the spread of the pool's cosines.
        refits: iterations of k-means each time.
        pool: the score of the pull towards other classes.
        pull: its weight, over the same spread.
    """

    def __init__(self, problem: Problem, scale: float, refits: int, pool: PoolScore, pull: float) -> None:
        self.pool = pool
        self.labels = problem.labels
        self.sizes = torch.bincount(problem.labels).to(problem.clean.dtype)
        self.scale = scale / problem.cosine_std
        self.refits = refits
        self.pull = pull / problem.cosine_std
        self._moving = len(problem.perturbed)
        self._seen = 0
        # From where k-means would converge on a clean pool; later it goes on from where it was.
        self.centroids = problem.centroids
        self._fit()

    def observe(self, index: Tensor, embeddings: Tensor) -> None:
        """Notes where images, by index in the pool, now are."""
        self.pool.observe(index, embeddings)
        self._seen += len(index)
        if self._seen >= self._moving:
            self._seen = 0
            self._fit()

    def _closeness(self, embeddings: Tensor) -> Tensor:
        """Half the negative squared distance to each centroid, up to a constant an image, (b, clusters)."""
        return embeddings @ self.centroids.t() - 0.5 * self.centroids.square().sum(1)

    def _fit(self) -> None:
        """A few iterations of k-means, then the table of classes and clusters, (classes, clusters)."""
        for _ in range(self.refits):
            sums, sizes = torch.zeros_like(self.centroids), torch.zeros_like(self.sizes)
            for part in self.pool.bank.split(CHUNK):
                nearest = self._closeness(part).argmax(1)
                sums.index_add_(0, nearest, part)
                sizes += torch.bincount(nearest, minlength=len(sizes))
            means = sums / sizes.clamp_min(1).unsqueeze(1)
            self.centroids = torch.where((sizes > 0).unsqueeze(1), means, self.centroids)
        self.table = self.sizes.new_zeros(len(self.sizes), len(self.sizes))
        for part, labels in zip(self.pool.bank.split(CHUNK), self.labels.split(CHUNK), strict=True):
            self.table.index_add_(0, labels, self._share(part))

    def _share(self, embeddings: Tensor) -> Tensor:
        """Share of each image in each cluster, (b, clusters)."""
        return (self.scale * self._closeness(embeddings)).softmax(1)

    def __call__(self, embeddings: Tensor, index: Tensor) -> Tensor:
        """Negative pointwise mutual information of class and cluster, and the pull of other classes."""
        labels = self.labels[index]
        # Without the image itself: that it is where it is must not count against its staying there.
        own = (self.table[labels] - self._share(self.pool.bank[index])).clamp_min(0)
        expected = self.table.sum(0) * (self.sizes[labels] / len(self.labels)).unsqueeze(1)
        information = torch.log((own + FLOOR) / (expected + FLOOR))
        told = (self._share(embeddings) * information).sum(1)
        return self.pull * self.pool(embeddings, index) - told


@OBJECTIVES.register("information")
class Information(Objective):
    """-(what k-means' cluster of the *attacked* image tells about its class) + pull * `pool`.

    k-means is fitted on the attacked pool as it moves. With p_k the image's soft share in cluster k (softmax
    over scaled distances to the centroids) and T the table of classes and clusters of all other images, the
    image is moved to lower sum_k p_k log(T[y, k] n / (T[y, .] T[., k])), its part in the mutual information
    of classes and clusters, which is what AMI measures. `pool` leads images out of clusters whose soft share
    has no slope left.

    Attributes:
        scale: factor on half the squared distances before the softmax, over the spread of the pool's cosines.
        refits: iterations of k-means each time that all images have moved.
        pull: weight of `pool`, over the same spread.
        neighbours: as in `pool`.
    """

    pooled: ClassVar[bool] = True

    scale: PositiveFloat = 4.5
    refits: PositiveInt = 3
    pull: NonNegativeFloat = 0.7
    neighbours: PositiveInt = 5

    def bind(self, problem: Problem) -> InformationScore:
        """The score with clusters that start at the classes' clean centroids."""
        pool = PoolScore(problem, self.neighbours)
        return InformationScore(problem, self.scale, self.refits, pool, self.pull)
