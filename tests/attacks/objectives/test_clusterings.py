import numpy as np
import pytest
import torch

from attacks.objectives.clusterings import Clusterings
from benchmark.core.seeding import noise_per_image
from benchmark.metrics import kmeans_assign


@pytest.fixture
def points():
    centers = torch.randn(6, 5, dtype=torch.float64) * 4
    return centers.repeat(10, 1) + torch.randn(60, 5, dtype=torch.float64)


def drawn_by_hand(points, k, uniform):
    """Greedy k-means++ of one clustering from given numbers in [0, 1], by loops."""
    points = points.numpy()

    def distances(i):
        return ((points - points[i]) ** 2).sum(1)

    chosen = [int(uniform[0][0] * len(points))]
    closest = distances(chosen[0])
    for step in range(1, k):
        best = None
        for number in uniform[step]:
            mass, candidate = closest[0], 0
            while mass <= number * closest.sum():
                candidate += 1
                mass += closest[candidate]
            left = np.minimum(closest, distances(candidate))
            if best is None or left.sum() < best[1].sum():
                best = candidate, left
        chosen.append(best[0])
        closest = best[1]
    return points[chosen]


def test_starts_are_those_of_greedy_kmeans_plus_plus(points):
    clusterings = Clusterings(3, 6, points, seed=7)
    clusterings.draw(points, "a", 2)
    trials = 2 + int(np.log(6))
    noise = noise_per_image((6, trials), torch.arange(3), 7, "clusterings", "a", 2)
    for found, uniform in zip(clusterings.centroids.chunk(3), (noise.double() + 1) / 2, strict=True):
        np.testing.assert_allclose(found, drawn_by_hand(points, 6, uniform.tolist()))


def test_starts_differ_between_clusterings_and_draws_and_are_repeated(points):
    clusterings = Clusterings(2, 6, points, seed=7)
    found = []
    for part in (1, 2, 1):
        clusterings.draw(points, part)
        found.append(clusterings.centroids.clone())
    assert torch.equal(found[0], found[2]) and not torch.equal(found[0], found[1])
    assert not torch.equal(*found[0].chunk(2))


def test_refining_is_lloyds_and_an_empty_cluster_stays(points):
    clusterings = Clusterings(2, 6, points, seed=1)
    clusterings.draw(points)
    clusterings.centroids[3] = 1e3
    clusterings._set(clusterings.centroids.clone())
    expected = clusterings.centroids.clone().chunk(2)
    for _ in range(4):
        for centroids in expected:
            nearest = torch.cdist(points, centroids).argmin(1)
            for k in nearest.unique():
                centroids[k] = points[nearest == k].mean(0)
    clusterings.refine(points, 4)
    torch.testing.assert_close(clusterings.centroids, torch.cat(expected))
    assert (clusterings.centroids[3] == 1e3).all()
    rows = torch.stack([torch.cdist(points, centroids).argmin(1) for centroids in expected], 1)
    assert torch.equal(clusterings.assign(points), rows + torch.tensor([0, 6]))


def test_clusters_are_as_good_as_the_metrics(points):
    def inertia(assignment):
        return sum(
            float((points[assignment == k] - points[assignment == k].mean(0)).square().sum())
            for k in assignment.unique()
        )

    clusterings = Clusterings(20, 6, points, seed=0)
    clusterings.draw(points)
    clusterings.refine(points, 25)
    ours = [inertia(row) for row in clusterings.assign(points).t()]
    theirs = [inertia(torch.from_numpy(kmeans_assign(points, 6, seed))) for seed in range(20)]
    assert np.mean(ours) == pytest.approx(np.mean(theirs), rel=0.2)
    assert min(ours) == pytest.approx(min(theirs))


def test_fewer_distinct_points_than_clusters_are_no_error():
    points = torch.ones(5, 2, dtype=torch.float64)
    clusterings = Clusterings(2, 4, points, seed=0)
    clusterings.draw(points)
    clusterings.refine(points, 3)
    assert torch.isfinite(clusterings.centroids).all()
