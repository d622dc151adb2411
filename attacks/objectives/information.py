"""Objective: lower the mutual information of classes and k-means' clusters."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from attacks.objectives.base import OBJECTIVES, Objective, with_gradient
from attacks.objectives.clusterings import CHUNK, Clusterings
from attacks.objectives.pool import PoolScore
from attacks.problem import Problem
from attacks.save_point import Stateful
from benchmark.metrics import KMEANS_ITERATIONS, cluster, mean_clustering_metrics

FLOOR = 1e-3
"""Images added to each entry of the contingency table, so that its logarithm is finite."""


class InformationScore(Stateful):
    """The mean over k-means clusterings of the attacked pool, refitted once all images have moved.

    Args:
        problem: the attack's task.
        parameters: those of the objective.
    """

    constant: ClassVar[tuple[str, ...]] = ("labels", "_parameters", "_expected", "scale", "pull")

    def __init__(self, problem: Problem, parameters: Information) -> None:
        self._parameters = parameters
        self.labels = problem.labels
        self.scale = parameters.scale / problem.cosine_gap
        self.pull = parameters.pull / problem.cosine_gap
        self.pool = PoolScore(problem, parameters.neighbours)
        self._perturbed = len(problem.perturbed)
        self._observed = 0
        self._fits = 0
        classes = problem.num_classes
        sizes = problem.clean.new_zeros(classes)
        sizes.index_add_(0, self.labels, torch.ones_like(problem.clean[:, 0]))
        self._expected = sizes / len(self.labels)
        self.clusterings = Clusterings(parameters.clusterings, classes, problem.clean, problem.seed)
        self.table = sizes.new_zeros(classes, parameters.clusterings * classes)
        self._sizes = sizes.new_zeros(parameters.clusterings * classes)
        self._fit()

    def observe(self, index: Tensor, embeddings: Tensor) -> None:
        """Records the current embeddings of the images at `index`; refits once all have moved."""
        self.pool.observe(index, embeddings)
        self._observed += len(index)
        if self._observed >= self._perturbed:
            self._observed = 0
            self._fit()

    def pool_value(self) -> float:
        """Returns the negative AMI of the observed pool, as it will be scored."""
        assignments = cluster(self.pool.bank, len(self._expected))
        return -mean_clustering_metrics(self.labels, assignments)["ami"]

    def _fit(self) -> None:
        """Runs k-means, from new starts when these are due, and fills the contingency table.

        The table is by class and by the clusters of all clusterings, shape (classes, c k).
        """
        bank, parameters = self.pool.bank, self._parameters
        if self._fits % parameters.redraw == 0:
            self.clusterings.draw(bank, self._fits)
            self.clusterings.refine(bank, KMEANS_ITERATIONS)
        else:
            self.clusterings.refine(bank, parameters.refits)
        self._fits += 1
        self.table.zero_()
        for part, labels in zip(bank.split(CHUNK), self.labels.split(CHUNK), strict=True):
            self.table.index_add_(0, labels, self._assignment(part))
        torch.sum(self.table, 0, out=self._sizes)

    def _assignment(self, embeddings: Tensor) -> Tensor:
        """Soft assignment of each image to the clusters of each clustering, (b, c k)."""
        nearness = self.clusterings.nearness(embeddings).mul_(self.scale)
        return self.clusterings.grouped(nearness).softmax(2).view_as(nearness)

    def __call__(self, embeddings: Tensor, index: Tensor) -> Tensor:
        """Computes the negative mean pointwise mutual information of class and cluster, plus the pull."""
        given = embeddings.detach()
        with torch.no_grad():
            pointwise = self._pointwise(index)
            assignment = self._assignment(given)
            grouped = self.clusterings.grouped
            information = grouped(assignment * pointwise).sum(2)  # (b, c)
            direction = self.pool.direction(given, index).mul_(self.pull)
            values = (given * direction).sum(1).sub_(information.mean(1))
            if not embeddings.requires_grad:
                return values
            # Of each softmax, times the gradient of its logits.
            grouped(pointwise).sub_(information.unsqueeze(2))
            slopes = pointwise.mul_(assignment)
            factor = -self.scale / self.clusterings.count
            gradient = direction.addmm_(slopes, self.clusterings.centroids, alpha=factor)
        return with_gradient(values, embeddings, gradient)

    def _pointwise(self, index: Tensor) -> Tensor:
        """Returns the information of each cluster about each image's class, (b, c k)."""
        labels = self.labels[index]
        # Without the image itself: its current cluster must not be an argument for staying there.
        itself = self._assignment(self.pool.bank.index_select(0, index))
        joint = self.table.index_select(0, labels).sub_(itself).clamp_min_(0).add_(FLOOR)
        # What the sizes of class and cluster alone would let expect.
        expected = self._expected.index_select(0, labels).unsqueeze(1) * self._sizes + FLOOR
        return joint.log_().sub_(expected.log_())


@OBJECTIVES.register("information")
class Information(Objective):
    """-(information of the *attacked* image's k-means clusters about its class) + pull * `pool`.

    k-means is fitted on the attacked pool as it moves, several times, from starts as those of the metric
    (`Clusterings`): against one clustering alone, images move to where only that one is misled. With p_k the
    image's soft assignment to cluster k (softmax over scaled distances to the centroids) and T the
    contingency table of classes and clusters of all other images, the image moves to lower
    sum_k p_k log(T[y, k] n / (T[y, .] T[., k])), its part in the mutual information of classes and clusters,
    which AMI measures; the mean over the clusterings. `pool` leads images out of clusters whose soft
    assignment is saturated.

    Attributes:
        scale: factor on half the squared distances before the softmax, divided by the pool's typical gap of
            cosines (`Problem.cosine_gap`).
        refits: iterations of k-means each time that all images have moved.
        clusterings: number of clusterings.
        redraw: all images have moved this often when the clusterings start anew.
        pull: weight of `pool`, divided by the same gap.
        neighbours: as in `pool`.
    """

    pooled: ClassVar[bool] = True
    rates_pools: ClassVar[bool] = True
    capturable: ClassVar[bool] = True

    scale: PositiveFloat = 6.0
    refits: PositiveInt = 3
    clusterings: PositiveInt = 5
    redraw: PositiveInt = 10
    pull: NonNegativeFloat = 0.7
    neighbours: PositiveInt = 5

    def bind(self, problem: Problem) -> InformationScore:
        """Returns the score, with clusters of the clean pool."""
        return InformationScore(problem, self)
