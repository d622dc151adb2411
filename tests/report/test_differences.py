"""Differences that are settled: as seldom by chance as promised, and as a t-test finds them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmark.records.covariances import Covariances
from benchmark.report.differences import Differences, is_settled

values = st.lists(st.floats(-1, 1).map(lambda value: round(value, 3)), min_size=2, max_size=6)


@pytest.mark.filterwarnings("ignore:Precision loss")  # of SciPy's, where all values are equal
@given(values, values)
def test_without_another_variance_it_is_welch_s_test(one, other):
    if np.ptp(one) == np.ptp(other) == 0:
        assert is_settled(one, other) == (one[0] != other[0])
    elif not 0.0499 < (p := stats.ttest_ind(one, other, equal_var=False).pvalue) < 0.0501:
        assert is_settled(one, other) == (p < 0.05)


@pytest.mark.parametrize("seeds", [2, 3, 10])
@pytest.mark.parametrize("images", [0.0, 0.5, 1.0])
def test_equals_are_seldom_settled_to_differ(seeds, images):
    """Deviations of the seeds are 1; those of the images are shared by the seeds of a row."""
    generator = np.random.default_rng(0)
    draws, found = 2000, 0
    for _ in range(draws):
        rows = generator.normal(size=(2, seeds)) + images * generator.normal(size=(2, 1))
        variance = 2 * images**2 * generator.chisquare(99) / 99
        found += is_settled(rows[0], rows[1], [(variance, 99)])
    assert found / draws < 0.065


def test_one_seed_is_taken_as_exact_and_images_alone_count():
    assert is_settled([0.5], [0.6], [(0.04**2, 99)])
    assert not is_settled([0.5], [0.6], [(0.06**2, 99)])
    assert is_settled([0.5], [0.6])
    assert not is_settled([0.5], [0.5])


@pytest.mark.parametrize("images", [0.0, 1.0])
def test_equals_of_one_seed_are_seldom_settled_to_differ_by_few_k_means_runs(images):
    generator = np.random.default_rng(0)
    draws, found = 2000, 0
    for _ in range(draws):
        runs = generator.normal(size=(2, 5))
        rows = runs.mean(axis=1) + images * generator.normal(size=2)
        own = [(np.var(one, ddof=1) / 5, 4) for one in runs]
        found += is_settled(rows[:1], rows[1:], [(2 * images**2, 99), *own])
    assert found / draws < 0.065


def of(variance, covariance, own=(0.0, 1)):
    return Covariances(
        rows=["a", "b"],
        matrix=[[variance, covariance], [covariance, variance]],
        freedom=99,
        own=[own, (0.0, 1)],
    )


def test_rows_are_paired_by_their_covariance():
    scores = {"a": [0.5], "b": [0.6]}
    alike = Differences(scores, of(0.01, 0.0099))
    assert alike.settled("a", "b") is alike.settled("b", "a") is True
    assert Differences(scores, of(0.01, 0.0099, own=(0.01, 4))).settled("a", "b") is False
    apart = Differences(scores, of(0.01, 0.0))
    assert apart.settled("a", "b") is False
    assert apart.settled("a", "a") is False
    assert apart.settled("a", "pixels") is None
