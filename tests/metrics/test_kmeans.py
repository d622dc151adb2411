import faiss
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_mutual_info_score

from benchmark.core.errors import BenchmarkError
from benchmark.metrics import KMEANS_ITERATIONS, KMEANS_SEEDS, cluster, kmeans, kmeans_assign

BOTH_SIZES = pytest.mark.parametrize("large_from", [1, kmeans.LARGE_FROM], ids=["as-large", "as-small"])


def blobs(spread=2.0, n=400, d=8, k=20):
    points, labels = make_blobs(n, d, centers=k, cluster_std=spread, random_state=0)
    return points.astype(np.float32), labels


def test_separated_blobs_are_found():
    points, labels = blobs(spread=0.01, k=3)
    assert adjusted_mutual_info_score(labels, kmeans_assign(points, 3, seed=0)) == pytest.approx(1.0)


@pytest.mark.slow
@BOTH_SIZES
@pytest.mark.parametrize("spread", [0.5, 3.0, 5.0])
def test_agrees_with_scikit_learn_within_the_spread_of_seeds(spread, monkeypatch, large_from):
    monkeypatch.setattr(kmeans, "LARGE_FROM", large_from)
    points, labels = blobs(spread)

    def reference(seed):
        kmeans = KMeans(20, init="k-means++", n_init=1, max_iter=KMEANS_ITERATIONS, random_state=seed)
        return kmeans.fit(points).labels_

    seeds = range(30)
    ours = [adjusted_mutual_info_score(labels, kmeans_assign(points, 20, seed)) for seed in seeds]
    theirs = [adjusted_mutual_info_score(labels, reference(seed)) for seed in seeds]
    error = np.sqrt((np.var(ours, ddof=1) + np.var(theirs, ddof=1)) / len(seeds))
    assert abs(np.mean(ours) - np.mean(theirs)) < 3 * error


def test_twenty_five_iterations_are_enough(monkeypatch):
    points, labels = blobs(3.0, n=1000)
    few = [adjusted_mutual_info_score(labels, row) for row in cluster(points, 20, range(10))]
    monkeypatch.setattr(kmeans, "KMEANS_ITERATIONS", 200)
    many = [adjusted_mutual_info_score(labels, row) for row in cluster(points, 20, range(10))]
    assert np.mean(few) == pytest.approx(np.mean(many), abs=0.002)


@BOTH_SIZES
def test_deterministic_in_its_seed_and_different_between_seeds(monkeypatch, large_from):
    monkeypatch.setattr(kmeans, "LARGE_FROM", large_from)
    points, _ = blobs()
    first, again = cluster(points, 20), cluster(points, 20)
    assert first.shape == (len(KMEANS_SEEDS), 400)
    assert first.dtype == np.int32
    assert (first == again).all()
    assert len({row.tobytes() for row in first}) == len(KMEANS_SEEDS)


@BOTH_SIZES
def test_does_not_touch_the_global_random_state(monkeypatch, large_from):
    monkeypatch.setattr(kmeans, "LARGE_FROM", large_from)
    points, _ = blobs()
    np.random.seed(0)
    torch.manual_seed(0)
    expected = np.random.rand(), torch.rand(1).item()
    np.random.seed(0)
    torch.manual_seed(0)
    kmeans_assign(points, 20, seed=1)
    assert (np.random.rand(), torch.rand(1).item()) == expected


@BOTH_SIZES
def test_leaves_its_input_alone(monkeypatch, large_from):
    monkeypatch.setattr(kmeans, "LARGE_FROM", large_from)
    points, _ = blobs()
    before = points.copy()
    kmeans_assign(points, 20, seed=0)
    assert (points == before).all()


@BOTH_SIZES
def test_uses_every_point(monkeypatch, large_from):
    monkeypatch.setattr(kmeans, "LARGE_FROM", large_from)
    # faiss would by default draw 256 points for each centroid, and miss the small far group in most seeds.
    points = np.zeros((5000, 2), dtype=np.float32)
    points[17] = 1.0
    for seed in range(5):
        assert np.bincount(kmeans_assign(points, 2, seed)).min() == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_any_precision(dtype):
    points = torch.from_numpy(blobs(0.1, k=3)[0]).to(dtype)
    assigned = kmeans_assign(points, 3, seed=0)
    assert (assigned == kmeans_assign(points.double().numpy(), 3, seed=0)).all()
    assert adjusted_mutual_info_score(blobs(0.1, k=3)[1], assigned) == pytest.approx(1.0)


def test_takes_tensors_that_require_grad_or_are_not_contiguous():
    points, _ = blobs()
    turned = torch.from_numpy(points.T.copy()).T.requires_grad_()
    assert (kmeans_assign(turned, 20, seed=0) == kmeans_assign(points, 20, seed=0)).all()


@BOTH_SIZES
def test_a_tight_cloud_far_from_the_origin_is_resolved(monkeypatch, large_from):
    monkeypatch.setattr(kmeans, "LARGE_FROM", large_from)
    points, labels = blobs(0.1, k=20)
    tight = (1.0 + 1e-5 * points).astype(np.float32)
    assert adjusted_mutual_info_score(labels, kmeans_assign(tight, 20, seed=0)) > 0.9


@BOTH_SIZES
@pytest.mark.parametrize("k", [1, 2, 49, 50])
def test_equal_points_share_a_cluster(k, monkeypatch, large_from):
    monkeypatch.setattr(kmeans, "LARGE_FROM", large_from)
    for value in (0.0, 0.125, 1e-20):
        assigned = kmeans_assign(np.full((50, 64), value, dtype=np.float32), k, seed=0)
        assert len(np.unique(assigned)) == 1


@settings(max_examples=50)
@given(st.integers(1, 40), st.booleans(), st.data())
def test_any_repeated_points_get_a_valid_assignment(n, large, data):
    k = data.draw(st.integers(1, n))
    rows = data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    points = np.eye(4, dtype=np.float32)[rows] - 0.25
    (assigned,) = kmeans._assignments(points, k, [data.draw(st.integers(0, 9))], large)
    assert assigned.shape == (n,)
    assert assigned.min() >= 0
    assert assigned.max() < k


@BOTH_SIZES
def test_as_many_clusters_as_points(monkeypatch, large_from):
    monkeypatch.setattr(kmeans, "LARGE_FROM", large_from)
    points, _ = blobs(n=60)
    assert len(np.unique(kmeans_assign(points, 60, seed=0))) == 60


@pytest.fixture
def starts(monkeypatch):
    """Which starts were made, in order, with how many threads."""
    made = []

    def noting(name, plain):
        def start(*args, **settings):
            made.append((name, faiss.omp_get_max_threads()))
            return plain(*args, **settings)

        return start

    for name in ("greedy_init", "stepwise_init"):
        monkeypatch.setattr(kmeans, name, noting(name, getattr(kmeans, name)))
    return made


def test_the_number_of_products_decides_which_start_is_made(starts, monkeypatch):
    points, _ = blobs()
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(2)
    try:
        for large_from in (400 * 8 * 20 + 1, 400 * 8 * 20):
            monkeypatch.setattr(kmeans, "LARGE_FROM", large_from)
            kmeans_assign(points, 20, seed=0)
        assert starts == [("stepwise_init", 1), ("greedy_init", 2)]
        assert faiss.omp_get_max_threads() == 2
    finally:
        faiss.omp_set_num_threads(before)


@pytest.mark.parametrize(("n", "d", "k"), [(1360, 64, 68), (2420, 64, 121), (8131, 512, 98)])
def test_the_small_sets_the_birds_and_the_cars_are_small(n, d, k):
    assert n * d * k < kmeans.LARGE_FROM


@pytest.mark.parametrize(("n", "d", "k"), [(26_830, 512, 3_985), (60_502, 512, 11_316)])
def test_the_shops_are_large(n, d, k):
    assert n * d * k >= kmeans.LARGE_FROM


@pytest.mark.slow
def test_both_starts_are_as_good_where_classes_are_many_and_small():
    points, labels = blobs(3.0, n=1500, d=32, k=300)
    points -= points.mean(axis=0)
    one, other = (
        [adjusted_mutual_info_score(labels, row) for row in kmeans._assignments(points, 300, range(6), large)]
        for large in (False, True)
    )
    error = np.sqrt((np.var(one, ddof=1) + np.var(other, ddof=1)) / 6)
    assert abs(np.mean(one) - np.mean(other)) < max(3 * error, 0.005)
    assert 0.9 < np.mean(other) < 0.999


def test_small_clusters_give_no_output(capfd):
    points, _ = blobs(n=60)
    kmeans_assign(points, 59, seed=0)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused_in_one_line(bad):
    points, _ = blobs()
    points[3, 2] = bad
    with pytest.raises(BenchmarkError, match=r"^k-means: 1 of 400 embeddings hold NaN or infinity\.$"):
        kmeans_assign(points, 20, seed=0)


@pytest.mark.parametrize("k", [0, 401])
def test_impossible_numbers_of_clusters_are_refused(k):
    with pytest.raises(BenchmarkError, match=rf"^k-means: {k} clusters asked of 400 points\.$"):
        kmeans_assign(blobs()[0], k, seed=0)


def test_wrong_shape_is_refused():
    with pytest.raises(BenchmarkError, match="shape"):
        kmeans_assign(np.zeros(5, dtype=np.float32), 2, seed=0)


def test_faiss_is_the_version_of_the_protocol():
    assert faiss.__version__.startswith("1.15.")
