import itertools
import os
import subprocess
import sys
from collections import Counter
from math import comb, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_mutual_info_score, mutual_info_score
from sklearn.metrics.cluster import contingency_matrix
from sklearn.metrics.cluster import expected_mutual_information as sklearn_expected

from benchmark.core import mutual_information
from benchmark.core.mutual_information import (
    PartitionsOf,
    adjusted_mutual_information,
    expected_mutual_information,
    indexed,
)


@st.composite
def partitions(draw):
    n = draw(st.integers(1, 60))
    most = st.integers(0, draw(st.integers(0, n)))
    return tuple(np.array(draw(st.lists(most, min_size=n, max_size=n))) for _ in range(2))


def sizes_of(partition):
    return np.unique(partition, return_counts=True)[1]


def reference(labels, assignments):
    """scikit-learn's AMI; old versions give 0 / 1e-16 = 0 where all points are alone on both sides."""
    alone = len(set(labels)) == len(set(assignments)) == len(labels)
    return 1.0 if alone else adjusted_mutual_info_score(labels, assignments)


@given(partitions())
@settings(max_examples=100)
def test_agrees_with_scikit_learn(pair):
    ami = adjusted_mutual_information(*pair)
    assert type(ami) is float
    assert ami == pytest.approx(reference(*pair), abs=1e-12)
    table = contingency_matrix(*pair, sparse=True, dtype=np.int64)
    expected = expected_mutual_information(*map(sizes_of, pair))
    assert expected == pytest.approx(sklearn_expected(table, len(pair[0])), abs=1e-12)


@given(st.integers(2, 300), st.integers(0, 3), st.integers(0, 3), st.randoms(use_true_random=False))
@settings(max_examples=100)
def test_agrees_with_scikit_learn_where_nearly_all_points_are_alone(n, joined, merged, random):
    labels, assignments = np.arange(n), np.arange(n)
    for partition, times in ((labels, joined), (assignments, merged)):
        for _ in range(times):
            partition[random.randrange(n)] = partition[random.randrange(n)]
    # The denominator is least here, about 1 / n: errors of 1e-12 in either E[MI] become 1e-9 in AMI.
    ami = adjusted_mutual_information(labels, assignments)
    assert ami == pytest.approx(reference(labels, assignments), abs=1e-8)


@pytest.mark.slow
def test_is_the_mean_over_every_order_of_the_points():
    labels, assignments = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 1, 1])
    orders = itertools.permutations(range(6))
    every = np.mean([mutual_info_score(labels[list(order)], assignments) for order in orders])
    expected = expected_mutual_information(sizes_of(labels), sizes_of(assignments))
    assert expected == pytest.approx(every, rel=1e-12)


def test_agrees_with_exact_binomials():
    classes, clusters = np.array([1, 1, 2, 5, 5, 6]), np.array([3, 3, 3, 11])
    total, expected = 20, 0.0
    for (a, a_times), (b, b_times) in itertools.product(
        Counter(classes.tolist()).items(), Counter(clusters.tolist()).items()
    ):
        for n in range(1, min(a, b) + 1):
            chance = comb(b, n) * comb(total - b, a - n) / comb(total, a) if a - n <= total - b else 0
            expected += a_times * b_times * n / total * log(total * n / (a * b)) * chance
    assert expected_mutual_information(classes, clusters) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("n", "classes"), [(1360, 68), (4000, 5), (4000, 800), (3000, 1500)])
def test_agrees_with_scikit_learn_on_many_points(n, classes):
    random = np.random.default_rng(classes)
    labels = random.integers(0, classes, n)
    assignments = np.where(random.random(n) < 0.5, random.integers(0, classes, n), labels)
    ami = adjusted_mutual_information(labels, assignments)
    # Logarithms of factorials are some 10^4 here, which leaves both sides about 12 digits.
    assert ami == pytest.approx(adjusted_mutual_info_score(labels, assignments), abs=1e-10)
    assert 0.1 < ami < 0.9


def test_extremes():
    labels, one, each = np.repeat(np.arange(10), 5), np.zeros(50, int), np.arange(50)
    for pair, expected in [
        ((labels, labels), 1.0),
        ((labels, one), 0.0),
        ((one, labels), 0.0),
        ((one, one), 1.0),
        ((each, each), 1.0),
        ((labels, each), 0.0),
        ((each, one), 0.0),
    ]:
        assert adjusted_mutual_information(*pair) == pytest.approx(expected, abs=1e-12)
        assert reference(*pair) == pytest.approx(expected, abs=1e-9)


def test_names_of_labels_and_the_order_of_points_do_not_matter():
    random = np.random.default_rng(0)
    labels, assignments = random.integers(0, 9, (2, 200))
    order, names = random.permutation(200), random.permutation(1000)[:9] - 500
    expected = adjusted_mutual_information(labels, assignments)
    renamed = adjusted_mutual_information(names[labels][order].astype(np.int32), assignments[order])
    assert renamed == pytest.approx(expected, abs=1e-12)
    assert adjusted_mutual_information(assignments, labels) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("kept", [40, mutual_information.MOST_TERMS], ids=["few terms kept", "all kept"])
def test_values_do_not_depend_on_what_was_compared_before(monkeypatch, kept):
    monkeypatch.setattr(mutual_information, "MOST_TERMS", kept)
    random, partitions = np.random.default_rng(0), PartitionsOf(60)
    for most in random.integers(1, 30, 100):
        labels, assignments = random.integers(0, most, (2, 60)) * 3 - 20
        value = partitions.adjusted_mutual_information(indexed(labels), indexed(assignments))
        assert value == adjusted_mutual_information(labels, assignments)


def test_torch_is_not_loaded():
    code = "import sys, benchmark.core.mutual_information; assert 'torch' not in sys.modules"
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
