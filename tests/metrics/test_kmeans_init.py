import itertools

import numpy as np
import pytest
import sklearn
from scipy.stats import chisquare
from sklearn.cluster import kmeans_plusplus
from sklearn.datasets import make_blobs

from benchmark.metrics import kmeans_init
from benchmark.metrics.kmeans_init import SquaredDistances, greedy_init, stepwise_init


def many_blobs(n=1500, d=32, k=300, seed=0):
    points, _ = make_blobs(n, d, centers=k, cluster_std=3.0, random_state=seed)
    return (points - points.mean(axis=0)).astype(np.float32)


def squared_distances(points, others):
    return ((points.astype(np.float64)[:, None] - others.astype(np.float64)) ** 2).sum(axis=2)


def left_over(points, chosen):
    """The sum of D^2 once these are chosen."""
    return squared_distances(points, points[chosen]).min(axis=1).sum()


def law(points, k, trials):
    """Probability of every order of choices, by greedy k-means++ as it is written down."""
    n, every = len(points), squared_distances(points, points)
    found = {(first,): 1 / n for first in range(n)}
    for _ in range(k - 1):
        longer = dict.fromkeys(((*chosen, c) for chosen in found for c in range(n)), 0.0)
        for chosen, probability in found.items():
            closest = every[list(chosen)].min(axis=0)
            chances = closest / closest.sum()
            for drawn in itertools.product(range(n), repeat=trials):
                best = min(drawn, key=lambda c: np.minimum(every[c], closest).sum())
                longer[(*chosen, best)] += probability * chances[list(drawn)].prod()
        found = longer
    return {chosen: probability for chosen, probability in found.items() if probability > 0}


@pytest.mark.skipif(
    not sklearn.__version__.startswith("1.9."), reason="other versions of scikit-learn draw other points"
)
@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
@pytest.mark.parametrize("kind", ["cloud", "blobs", "repeated", "equal", "tiny", "huge"])
@pytest.mark.parametrize(
    ("n", "d", "k"), [(300, 16, 40), (500, 200, 100), (40, 3, 40), (60, 5, 1), (7, 2, 3)]
)
def test_stepwise_draws_are_those_of_scikit_learn(n, d, k, kind):
    cloud = np.random.default_rng(n).standard_normal((n, d))
    points = {
        "cloud": cloud,
        "blobs": 0.05 * cloud + np.repeat(10 * cloud, 5, axis=0)[:n],
        "repeated": np.round(cloud),
        "equal": np.full((n, d), 0.125),
        "tiny": 1e-20 * cloud,
        "huge": 1e15 * cloud,
    }[kind].astype(np.float32)
    for seed in range(5):
        distances = SquaredDistances(points, expected=seed * n)  # row by row, or all at once
        assert (stepwise_init(distances, k, seed) == kmeans_plusplus(points, k, random_state=seed)[1]).all()


def test_stepwise_draws_stay_as_they_are():
    grid = np.stack(np.meshgrid(np.arange(6), np.arange(7) ** 2), axis=2).reshape(-1, 2).astype(np.float32)
    distances = SquaredDistances(grid, 0)
    assert stepwise_init(distances, 8, 0).tolist() == [23, 39, 12, 33, 29, 20, 9, 25]
    assert stepwise_init(distances, 8, 1).tolist() == [17, 33, 26, 38, 9, 20, 12, 1]


@pytest.mark.slow
@pytest.mark.parametrize("ahead", [0, 9], ids=["each-step-anew", "all-steps-ahead"])
@pytest.mark.parametrize("trials", [1, 2])
def test_draws_by_the_law_of_greedy_kmeans_plusplus(monkeypatch, trials, ahead):
    monkeypatch.setattr(kmeans_init, "AHEAD", ahead)
    points = np.array([[0, 0], [1, 0], [0, 2.5], [4, 1], [5, 5]], dtype=np.float32)
    points -= points.mean(axis=0)
    expected, draws = law(points, 3, trials), 4000
    seen = dict.fromkeys(expected, 0)
    for seed in range(draws):
        seen[tuple(greedy_init(points, 3, seed, trials=trials).tolist())] += 1
    often = [chosen for chosen in expected if expected[chosen] * draws >= 5]
    counts = [seen[chosen] for chosen in often]
    wanted = [expected[chosen] * draws for chosen in often]
    rest = draws - sum(wanted)
    if rest >= 5:
        counts, wanted = [*counts, draws - sum(counts)], [*wanted, rest]
    else:
        wanted = np.array(wanted) * sum(counts) / sum(wanted)
    assert chisquare(counts, wanted).pvalue > 1e-4


@pytest.mark.slow
def test_many_steps_at_once_leave_as_little_over_as_step_by_step_and_less_than_single_draws():
    points = many_blobs()
    ours = [left_over(points, greedy_init(points, 300, seed)) for seed in range(6)]
    distances = SquaredDistances(points, 0)
    theirs = [left_over(points, stepwise_init(distances, 300, seed)) for seed in range(6)]
    single = [left_over(points, greedy_init(points, 300, seed, trials=1)) for seed in range(6)]
    error = np.sqrt((np.var(ours, ddof=1) + np.var(theirs, ddof=1)) / 6)
    assert abs(np.mean(ours) - np.mean(theirs)) < max(4 * error, 0.005 * np.mean(theirs))
    assert np.mean(ours) < 0.95 * np.mean(single)


@pytest.mark.parametrize("batch", [1, 7, 40, 100_000])
@pytest.mark.parametrize("trials", [None, 1, 5])
def test_any_batch_draws_distinct_points_and_the_same_again(batch, trials):
    points = many_blobs(200, 8, 40)
    first = greedy_init(points, 150, 3, trials=trials, batch=batch)
    assert first.shape == (150,)
    assert len(set(first.tolist())) == 150
    assert (first == greedy_init(points, 150, 3, trials=trials, batch=batch)).all()
    assert (first != greedy_init(points, 150, 4, trials=trials, batch=batch)).any()


def test_no_more_candidates_at_once_than_the_batch(monkeypatch):
    sizes, plain = [], kmeans_init._distances

    def counted(points, candidates):
        sizes.append(len(candidates))
        return plain(points, candidates)

    monkeypatch.setattr(kmeans_init, "_distances", counted)
    greedy_init(many_blobs(), 300, 0, trials=4, batch=50)
    assert max(sizes) == 48
    assert 299 * 4 < sum(sizes) < 1.5 * 299 * 4  # most of those drawn ahead are of use


@pytest.mark.parametrize("k", [1, 2, 60])
def test_as_many_as_there_are_points(k):
    assert len(set(greedy_init(many_blobs(60, 4, 5), k, 0).tolist())) == k


@pytest.mark.parametrize("value", [0.0, 1e-20, 1e-3])
def test_equal_points(value):
    chosen = greedy_init(np.full((50, 8), value, dtype=np.float32), 30, 0)
    assert chosen.shape == (30,)
    assert chosen.min() >= 0
    assert chosen.max() < 50


def test_every_distinct_point_is_found_before_any_twice():
    points = np.eye(6, dtype=np.float32)[np.arange(300) % 6] - 1 / 6
    for seed in range(20):
        assert len(set((greedy_init(points, 20, seed)[:6] % 6).tolist())) == 6


def test_a_distance_is_never_negative_and_zero_to_itself():
    points = np.repeat(many_blobs(50, 16, 10), 2, axis=0)
    rows = kmeans_init._distances(points, np.arange(100))
    assert rows == pytest.approx(squared_distances(points, points), rel=1e-4, abs=1e-2)
    assert rows.min() == 0  # copies are at -0.0001 by the products alone
    assert not rows.diagonal().any()
