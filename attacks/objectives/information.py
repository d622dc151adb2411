"""Objective: lower the mutual information of classes and k-means' clusters."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from attacks.objectives.base import OBJECTIVES, Objective, with_gradient
from attacks.objectives.clusterings import CHUNK, Clusterings
from attacks.objectives.pool import PoolScore
from attacks.problem import Problem
from attacks.save_point import Stateful
from benchmark.core.mutual_information import adjusted_mutual_information
from benchmark.metrics import KMEANS_ITERATIONS, cluster

FLOOR = 1e-3
"""Images added to each entry of the contingency table, so that its logarithm is finite."""


class InformationScore(Stateful):
    """The mean over k-means clusterings of the attacked pool, refitted once all images have moved.

    Args:
        problem: the attack's task.
        parameters: those of the objective.
    """

    constant: ClassVar[tuple[str, ...]] = ("labels", "_parameters", "_expected", "scale", "pull", "_index")

    def __init__(self, problem: Problem, parameters: Information) -> None:
        self._parameters = parameters
        self.labels = problem.labels
        self.scale = parameters.scale / problem.cosine_gap
        self.pull = parameters.pull / problem.cosine_gap
        self.pool = PoolScore(problem, parameters.neighbours)
        self._perturbed = len(problem.perturbed)
        self._observed = 0
        self._fits = 0
        self._index = problem.all_indices
        classes = problem.num_classes
        sizes = problem.clean.new_zeros(classes)
        sizes.index_add_(0, self.labels, torch.ones_like(problem.clean[:, 0]))
        self._expected = sizes / len(self.labels)
        self.clusterings = Clusterings(parameters.clusterings, classes, problem.clean, problem.seed)
        self.table = sizes.new_zeros(classes, parameters.clusterings * classes)
        self._sizes = sizes.new_zeros(parameters.clusterings * classes)
        self.dragging = torch.zeros_like(problem.clean)
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
        labels = self.labels.cpu().numpy()
        return -float(np.mean([adjusted_mutual_information(labels, row) for row in assignments]))

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
        clusters = []
        for part, labels in zip(bank.split(CHUNK), self.labels.split(CHUNK), strict=True):
            nearness = self.clusterings.nearness(part)
            clusters.append(self.clusterings.nearest(nearness))
            self.table.index_add_(0, labels, self._soft(nearness))
        torch.sum(self.table, 0, out=self._sizes)
        if parameters.drag:
            self._find_dragging(clusters)

    def _find_dragging(self, clusters: list[Tensor]) -> None:
        """Finds how each image, by moving, changes the parts of all images through its centroids, (n, d).

        A centroid moves by the image's way over the number of images in the cluster.

        Args:
            clusters: those of each image of a chunk, by their rows, shape (b, c).
        """
        bank, clusterings = self.pool.bank, self.clusterings
        forces = torch.zeros_like(clusterings.centroids)
        weights, counts = torch.zeros_like(self._sizes), torch.zeros_like(self._sizes)
        chunks = self._index.split(CHUNK)
        for index, rows in zip(chunks, clusters, strict=True):
            part = bank.index_select(0, index)
            assignment = self._assignment(part)
            slopes, _ = self._slopes(assignment, self._pointwise(index, assignment))
            forces.addmm_(slopes.t(), part)
            weights += slopes.sum(0)
            counts.index_add_(0, rows.flatten(), counts.new_ones(rows.numel()))
        forces.sub_(weights.unsqueeze(1) * clusterings.centroids)
        forces.mul_(-self._parameters.drag * self.scale / clusterings.count)
        forces.div_(counts.clamp_min_(1).unsqueeze(1))
        for index, rows in zip(chunks, clusters, strict=True):
            self.dragging.index_copy_(0, index, F.embedding_bag(rows, forces, mode="sum"))

    def _assignment(self, embeddings: Tensor) -> Tensor:
        """Soft assignment of each image to the clusters of each clustering, (b, c k)."""
        return self._soft(self.clusterings.nearness(embeddings))

    def _soft(self, nearness: Tensor) -> Tensor:
        """Soft assignment by the nearness to all centroids, which is scaled in place, (b, c k)."""
        return self.clusterings.grouped(nearness.mul_(self.scale)).softmax(2).view_as(nearness)

    def __call__(self, embeddings: Tensor, index: Tensor) -> Tensor:
        """Computes the negative mean information of clusters about the class, plus pull and drag."""
        given = embeddings.detach()
        with torch.no_grad():
            pointwise = self._pointwise(index, self._assignment(self.pool.bank.index_select(0, index)))
            slopes, information = self._slopes(self._assignment(given), pointwise)
            direction = self.pool.direction(given, index).mul_(self.pull)
            direction += self.dragging.index_select(0, index)
            values = (given * direction).sum(1).sub_(information.mean(1))
            if not embeddings.requires_grad:
                return values
            factor = -self.scale / self.clusterings.count
            gradient = direction.addmm_(slopes, self.clusterings.centroids, alpha=factor)
        return with_gradient(values, embeddings, gradient)

    def _slopes(self, assignment: Tensor, pointwise: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the slopes of the parts by the logits of the softmaxes, (b, c k), and the parts, (b, c).

        It is written over `pointwise`.
        """
        grouped = self.clusterings.grouped
        information = grouped(assignment * pointwise).sum(2)
        grouped(pointwise).sub_(information.unsqueeze(2))
        return pointwise.mul_(assignment), information

    def _pointwise(self, index: Tensor, itself: Tensor) -> Tensor:
        """Returns the information of each cluster about each image's class, (b, c k).

        Args:
            index: the images, shape (b,).
            itself: their own entries of the table, which are left out: an image's current cluster must not be
                an argument for staying there.
        """
        labels = self.labels[index]
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
    assignment is saturated. The image also moves to where its clusters' centroids, which it drags along,
    lower the parts of the others: the gradient of the mutual information of the pool goes both ways.

    Attributes:
        scale: factor on half the squared distances before the softmax, divided by the pool's typical gap of
            cosines (`Problem.cosine_gap`).
        refits: iterations of k-means each time that all images have moved.
        clusterings: number of clusterings.
        redraw: all images have moved this often when the clusterings start anew.
        pull: weight of `pool`, divided by the same gap.
        neighbours: as in `pool`.
        drag: weight of what the image does to the others through the centroids of its clusters.
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
    drag: NonNegativeFloat = 1.0

    def bind(self, problem: Problem) -> InformationScore:
        """Returns the score, with clusters of the clean pool."""
        return InformationScore(problem, self)
