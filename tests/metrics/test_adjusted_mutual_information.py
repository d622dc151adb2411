import itertools
from collections import Counter
from math import comb, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_mutual_info_score, mutual_info_score
from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information

from benchmark.metrics import adjusted


@st.composite
def partitions(draw):
    n = draw(st.integers(1, 60))
    most = st.integers(0, draw(st.integers(0, n)))
    return tuple(np.array(draw(st.lists(most, min_size=n, max_size=n))) for _ in range(2))


def table_of(labels, assignments):
    return contingency_matrix(labels, assignments, sparse=True, dtype=np.int64)


def sizes_of(partition):
    return np.unique(partition, return_counts=True)[1]


@given(partitions())
@settings(deadline=None, max_examples=100)
def test_agrees_with_scikit_learn(pair):
    ours = adjusted.adjusted_mutual_information(table_of(*pair))
    assert ours == pytest.approx(adjusted_mutual_info_score(*pair), abs=1e-9)
    expected = adjusted.expected_mutual_information(*map(sizes_of, pair))
    theirs = expected_mutual_information(table_of(*pair), len(pair[0]))
    assert expected == pytest.approx(theirs, abs=1e-9)


def test_is_the_mean_over_every_order_of_the_points():
    labels, assignments = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 1, 1])
    orders = itertools.permutations(range(6))
    every = np.mean([mutual_info_score(labels[list(order)], assignments) for order in orders])
    ours = adjusted.expected_mutual_information(sizes_of(labels), sizes_of(assignments))
    assert ours == pytest.approx(every, rel=1e-12)


def test_agrees_with_exact_binomials():
    classes, clusters = np.array([1, 1, 2, 5, 5, 6]), np.array([3, 3, 3, 11])
    total, expected = 20, 0.0
    for (a, a_times), (b, b_times) in itertools.product(
        Counter(classes.tolist()).items(), Counter(clusters.tolist()).items()
    ):
        for n in range(1, min(a, b) + 1):
            chance = comb(b, n) * comb(total - b, a - n) / comb(total, a) if a - n <= total - b else 0
            expected += a_times * b_times * n / total * log(total * n / (a * b)) * chance
    assert adjusted.expected_mutual_information(classes, clusters) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("n", "classes"), [(4000, 5), (4000, 800), (3000, 1500)])
def test_agrees_with_scikit_learn_on_many_points(n, classes):
    random = np.random.default_rng(classes)
    labels = random.integers(0, classes, n)
    assignments = np.where(random.random(n) < 0.5, random.integers(0, classes, n), labels)
    ours = adjusted.adjusted_mutual_information(table_of(labels, assignments))
    assert ours == pytest.approx(adjusted_mutual_info_score(labels, assignments), abs=1e-9)
    assert 0.1 < ours < 0.9


def test_extremes():
    labels, ones, each = np.repeat(np.arange(10), 5), np.zeros(50, int), np.arange(50)
    for pair, expected in [
        ((labels, labels), 1.0),
        ((labels, ones), 0.0),
        ((ones, labels), 0.0),
        ((ones, ones), 1.0),
        ((each, each), 1.0),
        ((labels, each), 0.0),
    ]:
        assert adjusted.adjusted_mutual_information(table_of(*pair)) == pytest.approx(expected, abs=1e-9)
