import itertools
import time
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_mutual_info_score, normalized_mutual_info_score
from sklearn.metrics.cluster import pair_confusion_matrix

from benchmark.core.errors import BenchmarkError
from benchmark.metrics import cluster, clustering_metrics, mean_clustering_metrics

pairings = st.integers(1, 30).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 5), min_size=n, max_size=n).map(np.array)] * 2)
)


def naive_f1(labels, assignments):
    both = in_class = in_cluster = 0
    for i, j in itertools.combinations(range(len(labels)), 2):
        same_class, same_cluster = labels[i] == labels[j], assignments[i] == assignments[j]
        both += same_class and same_cluster
        in_class += same_class
        in_cluster += same_cluster
    return 2 * both / (in_class + in_cluster) if in_class + in_cluster else 1.0


@given(pairings)
@settings(max_examples=50)
def test_agrees_with_naive_loops_and_scikit_learn(pairing):
    labels, assignments = pairing
    scores = clustering_metrics(labels, assignments)
    assert list(scores) == ["ami", "nmi", "f1"]
    assert all(type(score) is float for score in scores.values())
    alone = len(set(labels)) == len(set(assignments)) == len(labels)  # 0 in old scikit-learn
    expected = 1.0 if alone else adjusted_mutual_info_score(labels, assignments)
    assert scores["ami"] == pytest.approx(expected)
    assert scores["nmi"] == pytest.approx(normalized_mutual_info_score(labels, assignments))
    assert scores["f1"] == naive_f1(labels, assignments)
    (_, only_cluster), (only_class, both) = pair_confusion_matrix(labels, assignments)
    if both:
        precision, recall = both / (both + only_cluster), both / (both + only_class)
        assert scores["f1"] == pytest.approx(2 * precision * recall / (precision + recall))


@given(pairings, st.randoms(use_true_random=False))
@settings(max_examples=50)
def test_neither_names_nor_order_matter(pairing, random):
    labels, assignments = pairing
    expected = clustering_metrics(labels, assignments)
    names = np.array(random.sample(range(100), 6))
    assert clustering_metrics(names[labels], assignments) == pytest.approx(expected, abs=1e-9)
    assert clustering_metrics(labels, names[assignments]) == pytest.approx(expected, abs=1e-9)
    order = random.sample(range(len(labels)), len(labels))
    assert clustering_metrics(labels[order], assignments[order]) == pytest.approx(expected, abs=1e-9)


@given(pairings)
@settings(max_examples=50)
def test_metrics_are_symmetric_in_classes_and_clusters(pairing):
    labels, assignments = pairing
    swapped = clustering_metrics(assignments, labels)
    assert clustering_metrics(labels, assignments) == pytest.approx(swapped, abs=1e-9)


def test_ten_thousand_classes_take_no_time():
    labels = np.arange(60_000) % 11_000
    assignments = np.where(labels % 3 == 0, np.random.default_rng(0).permutation(labels), labels)
    started = time.process_time()
    scores = clustering_metrics(labels, assignments)
    assert time.process_time() - started < 2  # scikit-learn's AMI alone takes about 20 s
    assert 0.4 < scores["ami"] < scores["nmi"] < 1


def test_perfect_one_cluster_and_random():
    labels = np.repeat(np.arange(50), 20)
    assert clustering_metrics(labels, labels) == pytest.approx({"ami": 1.0, "nmi": 1.0, "f1": 1.0})
    one = clustering_metrics(labels, np.zeros(1000, dtype=np.int32))
    assert one["ami"] == pytest.approx(0.0, abs=1e-9)
    assert one["nmi"] == pytest.approx(0.0, abs=1e-9)
    drawn = clustering_metrics(labels, np.random.default_rng(0).integers(0, 50, 1000))
    assert abs(drawn["ami"]) < 0.02
    assert drawn["nmi"] > 0.25


def test_pair_counts_do_not_overflow():
    labels = np.zeros(200_000, dtype=np.int32)
    assert clustering_metrics(labels, labels)["f1"] == 1.0
    halves = np.repeat([0, 1], 100_000).astype(np.int32)
    both, in_class = 2 * (100_000 * 99_999 // 2), 200_000 * 199_999 // 2
    assert clustering_metrics(labels, halves)["f1"] == 2 * both / (in_class + both)


def test_constant_embeddings_score_zero():
    labels = np.repeat(np.arange(10), 5)
    scores = mean_clustering_metrics(labels, cluster(torch.full((50, 8), 0.125), 10))
    assert scores["ami"] == pytest.approx(0.0, abs=1e-9)


def test_mean_over_seeds():
    random = np.random.default_rng(0)
    labels, assignments = random.integers(0, 5, 60), random.integers(0, 5, (3, 60))
    each = [clustering_metrics(labels, row) for row in assignments]
    expected = {name: np.mean([scores[name] for scores in each]) for name in ("ami", "nmi", "f1")}
    assert mean_clustering_metrics(labels, assignments) == pytest.approx(expected)
    tensors = mean_clustering_metrics(torch.from_numpy(labels), torch.from_numpy(assignments))
    assert tensors == pytest.approx(expected)


def test_no_warning_is_given():
    labels = np.repeat(np.arange(30), 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clustering_metrics(labels, np.arange(60))


@pytest.mark.parametrize(
    ("labels", "assignments"),
    [
        (np.zeros(3, int), np.zeros(4, int)),
        (np.zeros((3, 1), int), np.zeros(3, int)),
        (np.zeros(0, int),) * 2,
    ],
)
def test_shapes_that_do_not_fit_are_refused(labels, assignments):
    with pytest.raises(BenchmarkError, match=r"^Clustering: .*\.$"):
        clustering_metrics(labels, assignments)


@pytest.mark.parametrize("assignments", [np.zeros(3, int), np.zeros((0, 3), int), np.zeros((2, 4), int)])
def test_mean_refuses_shapes_that_do_not_fit(assignments):
    with pytest.raises(BenchmarkError, match=r"^Clustering: .*\.$"):
        mean_clustering_metrics(np.zeros(3, int), assignments)
