"""Several k-means clusterings of one pool on the device, from starts as the metric's."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from attacks.save_point import Stateful
from benchmark.core.seeding import noise_per_image
from benchmark.metrics.kmeans_init import default_trials

CHUNK = 4096
"""Points compared with all centroids at a time."""


class Clusterings(Stateful):
    """Fits k-means several times, from starts drawn by greedy k-means++ as the metric's (`kmeans_assign`).

    All work is on the device of the points, without waiting for it. The centroids of all clusterings are the
    rows of one matrix, so that one product compares points with all of them. Their tensors are written in
    place.

    Args:
        count: number of clusterings, c.
        clusters: number of clusters of each, k.
        like: any tensor of the type, the device and the number of dimensions d of the points, shape (n, d).
        seed: of the starts.

    Attributes:
        count: as given.
        centroids: shape (c k, d), those of one clustering after the other.
    """

    constant: ClassVar[tuple[str, ...]] = ("count", "_clusters", "_seed", "_numbers")

    def __init__(self, count: int, clusters: int, like: Tensor, seed: int) -> None:
        self.count = count
        self.centroids = like.new_zeros(count * clusters, like.shape[1])
        self._shift = like.new_zeros(count * clusters)
        self._clusters = clusters
        self._seed = seed
        self._numbers = torch.arange(count, device=like.device)

    def draw(self, points: Tensor, *parts: object) -> None:
        """Replaces the centroids by starts drawn from the points.

        Each step of greedy k-means++ (Arthur & Vassilvitskii 2007) draws 2 + floor(log k) candidates with
        probability proportional to the squared distance to the nearest centroid so far, and keeps the one
        that leaves the smallest sum of these.

        Args:
            points: shape (n, d).
            parts: what the draw depends on beside the seed.
        """
        k, trials = self._clusters, default_trials(self._clusters)
        noise = noise_per_image((k, trials), self._numbers, self._seed, "clusterings", *parts)
        uniform = noise.to(points).add_(1).div_(2)  # (c, k, trials)
        lengths = points.square().sum(1)
        last = len(points) - 1
        first = (uniform[:, 0, :1] * len(points)).long().clamp_max_(last)  # (c, 1)
        chosen, closest = [first], _distances(points, lengths, first).squeeze(1)
        for step in range(1, k):
            mass = closest.cumsum(1)
            candidates = torch.searchsorted(mass, uniform[:, step] * mass[:, -1:], right=True).clamp_max_(
                last
            )
            left = torch.minimum(_distances(points, lengths, candidates), closest.unsqueeze(1))
            best = left.sum(2).argmin(1, keepdim=True)  # (c, 1)
            closest = left.take_along_dim(best.unsqueeze(2), 1).squeeze(1)
            chosen.append(candidates.gather(1, best))
        self._set(points[torch.cat(chosen, 1).flatten()])

    def refine(self, points: Tensor, iterations: int) -> None:
        """Runs iterations of k-means (Lloyd); a cluster without points keeps its centroid."""
        for _ in range(iterations):
            sums = torch.zeros_like(self.centroids)
            sizes = torch.zeros_like(self._shift)
            for part in points.split(CHUNK):
                for rows in self.assign(part).unbind(1):
                    sums.index_add_(0, rows, part)
                    sizes.index_add_(0, rows, torch.ones_like(part[:, 0]))
            means = sums / sizes.clamp_min(1).unsqueeze(1)
            self._set(torch.where((sizes > 0).unsqueeze(1), means, self.centroids))

    def _set(self, centroids: Tensor) -> None:
        self.centroids.copy_(centroids)
        self._shift.copy_(-0.5 * self.centroids.square().sum(1))

    def nearness(self, points: Tensor) -> Tensor:
        """Half the negative squared distance to each centroid, up to a constant per point, (b, c k)."""
        return torch.addmm(self._shift, points, self.centroids.t())

    def grouped(self, columns: Tensor) -> Tensor:
        """Views columns, shape (b, c k), by clustering, as (b, c, k)."""
        return columns.view(len(columns), self.count, self._clusters)

    def assign(self, points: Tensor) -> Tensor:
        """The row of `centroids` nearest to each point in each clustering, shape (b, c)."""
        return self.nearest(self.nearness(points))

    def nearest(self, nearness: Tensor) -> Tensor:
        """The row of `centroids` that points are nearest to in each clustering, (b, c), by `nearness`."""
        return self.grouped(nearness).max(2).indices + self._numbers * self._clusters


def _distances(points: Tensor, lengths: Tensor, candidates: Tensor) -> Tensor:
    """Squared distances of candidates, indices of shape (c, t), to all points, shape (c, t, n)."""
    rows = candidates.flatten()
    products = (-2 * points[rows]) @ points.t()
    distances = products.add_(lengths).add_(lengths[rows].unsqueeze(1)).clamp_min_(0)
    distances.scatter_(1, rows.unsqueeze(1), 0.0)  # rounding leaves a point at a distance from itself
    return distances.view(*candidates.shape, -1)
