import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_mutual_info_score

from benchmark.report.subsampled_ami import fast_ami


@settings(max_examples=50, deadline=None)
@given(
    st.integers(2, 120).flatmap(
        lambda n: st.tuples(
            st.lists(st.integers(0, 9), min_size=n, max_size=n),
            st.lists(st.integers(0, 9), min_size=n, max_size=n),
        )
    )
)
def test_fast_ami_is_scikit_learns(pair):
    labels, assignments = map(np.array, pair)
    assert fast_ami(labels, assignments) == pytest.approx(
        adjusted_mutual_info_score(labels, assignments), abs=1e-9
    )


def test_fast_ami_on_many_small_classes():
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(68), 20)
    for wrong in (0.0, 0.3, 1.0):
        noisy = np.where(generator.random(1360) < wrong, generator.integers(0, 68, 1360), labels)
        assert fast_ami(labels, noisy) == pytest.approx(adjusted_mutual_info_score(labels, noisy), abs=1e-9)
