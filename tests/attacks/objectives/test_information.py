import math

import pytest
import torch
import torch.nn.functional as F

from attacks import ATTACKS, OBJECTIVES, Problem
from attacks.objectives.information import FLOOR
from benchmark.metrics import KMEANS_SEEDS, cluster, mean_clustering_metrics


@pytest.fixture
def problem(linear, pool):
    return Problem(linear, pool.images, pool.labels, pool.ids, "linf", 0.1)


def assignment(score, embedding, clustering):
    """Soft assignment of one embedding to the clusters of one clustering, by loops."""
    weights = [
        math.exp(-score.scale * 0.5 * float((embedding - centroid).square().sum()))
        for centroid in score.clusterings.centroids.view(score.clusterings.count, -1, len(embedding))[
            clustering
        ]
    ]
    return [weight / sum(weights) for weight in weights]


def test_each_image_lowers_its_own_part_of_the_mutual_information(problem):
    objective = OBJECTIVES.build("information[scale=8,pull=0,drag=0,clusterings=3]")
    score = objective.bind(problem)
    n = len(problem)
    moved = F.normalize(problem.clean + 0.3 * torch.randn_like(problem.clean))
    score.observe(torch.arange(n), moved)
    embeddings = F.normalize(moved + 0.1 * torch.randn_like(moved))
    found = score(embeddings, torch.arange(n))
    each = [[assignment(score, row, c) for row in moved] for c in range(3)]
    for i in (0, 7, n - 1):
        y = int(problem.labels[i])
        information = 0.0
        for c in range(3):
            for k, weight in enumerate(assignment(score, embeddings[i], c)):
                own = sum(each[c][j][k] for j in range(n) if j != i and int(problem.labels[j]) == y)
                cluster_size = sum(each[c][j][k] for j in range(n))
                size = int((problem.labels == y).sum())
                information += weight * math.log((own + FLOOR) / (cluster_size * size / n + FLOOR)) / 3
        assert float(found[i]) == pytest.approx(-information, abs=1e-5)
    assert len(score.clusterings.centroids) == 3 * problem.num_classes


def test_the_pull_is_that_of_pool(problem):
    index = torch.arange(len(problem))
    embeddings = F.normalize(torch.randn_like(problem.clean))
    without_pull, pulled = (
        OBJECTIVES.build(f"information[pull={pull},neighbours=5]").bind(problem)(embeddings, index)
        for pull in (0, 3)
    )
    pool = OBJECTIVES.build("pool[neighbours=5]").bind(problem)(embeddings, index)
    torch.testing.assert_close(pulled - without_pull, 3 / problem.cosine_gap * pool)


def test_the_drag_is_what_an_image_does_to_the_others_through_its_centroids(problem):
    index = torch.arange(len(problem))
    moved = F.normalize(problem.clean + 0.3 * torch.randn_like(problem.clean))
    scores = [
        OBJECTIVES.build(f"information[clusterings=2,drag={drag}]").bind(problem) for drag in (0, 1, 2.5)
    ]
    for score in scores:
        score.observe(index[:50], moved[:50])
        score.observe(index[50:], moved[50:])
    without, dragged, more = scores
    clusterings = dragged.clusterings
    members = torch.zeros(len(problem), len(clusterings.centroids), dtype=moved.dtype)
    members.scatter_(1, clusterings.assign(moved), 1.0)
    leaves = moved.clone().requires_grad_(True)
    centroids = clusterings.centroids + (members.t() @ (leaves - moved)) / members.sum(0).clamp_min(
        1
    ).unsqueeze(1)
    logits = dragged.scale * (moved @ centroids.t() - 0.5 * centroids.square().sum(1))
    assignment = clusterings.grouped(logits).softmax(2).flatten(1)
    pointwise = dragged._pointwise(index, dragged._assignment(moved))
    (-(assignment * pointwise).sum() / 2).backward()
    assert float(leaves.grad.abs().max()) > 1e-3
    embeddings = F.normalize(torch.randn_like(moved))
    added = (embeddings * leaves.grad).sum(1)
    torch.testing.assert_close(dragged(embeddings, index) - without(embeddings, index), added)
    torch.testing.assert_close(more(embeddings, index) - without(embeddings, index), 2.5 * added)


def test_the_gradient_is_that_of_the_values(problem):
    score = OBJECTIVES.build("information").bind(problem)
    index = torch.arange(len(problem))
    score.observe(index, F.normalize(problem.clean + 0.3 * torch.randn_like(problem.clean)))
    embeddings = F.normalize(torch.randn_like(problem.clean)).requires_grad_(True)
    (gradient,) = torch.autograd.grad(score(embeddings, index).sum(), embeddings)
    with torch.no_grad():
        for column in range(embeddings.shape[1]):
            nudge = torch.zeros_like(embeddings)
            nudge[:, column] = 1e-6
            slope = (score(embeddings + nudge, index) - score(embeddings - nudge, index)) / 2e-6
            torch.testing.assert_close(slope, gradient[:, column], rtol=1e-5, atol=1e-5)


def test_clusters_are_refitted_once_all_images_have_moved(problem):
    score = OBJECTIVES.build("information[clusterings=2,redraw=100]").bind(problem)
    before = score.clusterings.centroids.clone()
    order = torch.randperm(len(problem))
    moved = F.normalize(torch.randn_like(problem.clean))
    score.observe(order[:-1], moved[order[:-1]])
    assert torch.equal(score.clusterings.centroids, before)
    score.observe(order[-1:], moved[order[-1:]])
    assert not torch.equal(score.clusterings.centroids, before)
    # A few iterations of k-means have brought each centroid to the mean of the images nearest to it.
    for _ in range(20):
        score.observe(order, moved[order])
    for centroids in score.clusterings.centroids.chunk(2):
        nearest = torch.cdist(moved, centroids).argmin(1)
        for k in nearest.unique():
            torch.testing.assert_close(centroids[k], moved[nearest == k].mean(0))


def test_clusters_start_anew_at_intervals(problem):
    score = OBJECTIVES.build("information[redraw=3]").bind(problem)
    index = torch.arange(len(problem))
    drawn = []
    draw = score.clusterings.draw
    score.clusterings.draw = lambda points, *parts: (drawn.append(parts), draw(points, *parts))
    for _ in range(7):
        score.observe(index, problem.clean)
    assert drawn == [(3,), (6,)]  # the first was drawn when the score was bound


def test_a_pool_is_worth_its_ami_as_it_will_be_scored(problem):
    score = OBJECTIVES.build("information").bind(problem)
    moved = F.normalize(torch.randn_like(problem.clean))
    clean = score.pool_value()
    score.observe(torch.arange(len(problem)), moved)
    scored = mean_clustering_metrics(problem.labels, cluster(moved, problem.num_classes, KMEANS_SEEDS))
    assert score.pool_value() == pytest.approx(-scored["ami"]) and score.pool_value() > clean


@pytest.mark.parametrize("name", ["information", "recluster"])
def test_clusters_follow_when_only_some_images_are_attacked(linear, pool, name):
    attacked = torch.arange(0, len(pool), 3)
    problem = Problem(linear, pool.images, pool.labels, pool.ids, "linf", 0.1, attacked=attacked)
    score = OBJECTIVES.build(name).bind(problem)
    clusters = getattr(score, "clusterings", score)
    before = clusters.centroids.clone()
    score.observe(attacked, F.normalize(torch.randn(len(attacked), 6).double()))
    assert not torch.equal(clusters.centroids, before)
    result = ATTACKS.build(f"pgd_decay[objective={name},steps=3]").run(problem)
    changed = (result.images != pool.images).flatten(1).any(1)
    assert changed.nonzero().squeeze(1).tolist() == attacked.tolist()
    assert len(result.objective) == len(attacked)


def test_recluster_is_cross_entropy_over_the_attacked_classes_centroids(problem):
    score = OBJECTIVES.build("recluster[scale=4]").bind(problem)
    index = torch.arange(len(problem))
    embeddings = F.normalize(torch.randn_like(problem.clean))
    unmoved = OBJECTIVES.build("centroid_ce[scale=4]").bind(problem)(embeddings, index)
    torch.testing.assert_close(score(embeddings, index), unmoved)
    moved = F.normalize(torch.randn_like(problem.clean))
    score.observe(index, moved)
    means = torch.stack([F.normalize(moved[problem.labels == y].sum(0), dim=0) for y in range(6)])
    expected = F.cross_entropy(
        4 / problem.cosine_gap * embeddings @ means.t(), problem.labels, reduction="none"
    )
    torch.testing.assert_close(score(embeddings, index), expected)


def test_ami_is_lower_than_with_any_other_objective(trained, make_images):
    data = make_images(classes=10, per_class=12, noise=0.2, seed=3)

    def ami(objective):
        problem = Problem(trained, data.images, data.labels, data.ids, "linf", 0.1)
        attacked = ATTACKS.build(f"pgd_decay[objective={objective}]").run(problem).images
        with torch.no_grad():
            assignments = cluster(trained(attacked), 10, KMEANS_SEEDS)
        return mean_clustering_metrics(data.labels, assignments)["ami"]

    assert ami("information") < min(map(ami, ("pool", "centroid_ce", "own"))) - 0.02
