import pytest
import torch

from benchmark.core.errors import BenchmarkError, UsageError
from benchmark.evaluation import SCENARIOS, attacked_indices

IDS = torch.arange(200) * 7 + 3


@pytest.mark.parametrize(
    ("fraction", "count"), [(1.0, 200), (0.5, 100), (1 / 3, 67), (0.01, 2), (0.001, 1), (0.999, 200)]
)
def test_the_number_of_indices_and_their_order(fraction, count):
    chosen = attacked_indices(IDS, fraction)
    assert len(chosen) == count
    assert chosen.dtype == torch.int64
    assert (chosen.diff() > 0).all()
    assert set(chosen.tolist()) <= set(range(200))


def test_smaller_fractions_are_within_larger_ones():
    previous = set()
    for percent in range(1, 101):
        chosen = set(attacked_indices(IDS, percent / 100).tolist())
        assert previous < chosen
        previous = chosen


def test_the_draw_depends_on_ids_not_on_positions():
    order = torch.randperm(200)
    chosen = set(IDS[attacked_indices(IDS, 0.3)].tolist())
    assert set(IDS[order][attacked_indices(IDS[order], 0.3)].tolist()) == chosen
    assert set(attacked_indices(IDS + 1, 0.3).tolist()) != set(attacked_indices(IDS, 0.3).tolist())
    assert len({index // 20 for index in attacked_indices(IDS, 0.3).tolist()}) == 10  # spread over the pool


@pytest.mark.parametrize("fraction", [0.0, -0.5, 1.01, float("nan")])
def test_fractions_out_of_range_are_rejected(fraction):
    with pytest.raises(BenchmarkError, match="fraction"):
        attacked_indices(IDS, fraction)


def test_an_empty_pool_is_rejected():
    with pytest.raises(BenchmarkError, match="0 images"):
        attacked_indices(IDS[:0], 0.5)


def test_only_clustering_takes_a_fraction():
    assert SCENARIOS.build("clustering").attacked_fraction == 1
    assert SCENARIOS.build("clustering[fraction=1/4]").attacked_fraction == 0.25
    assert SCENARIOS.build("clustering[fraction=1/4]").spec == "clustering[fraction=0.25]"
    assert SCENARIOS.build("clustering[fraction=1]").spec == "clustering"
    for name in SCENARIOS.names():
        assert SCENARIOS.build(name).attacked_fraction == 1
    for text in ("clustering[fraction=0]", "clustering[fraction=1.5]", "verification[fraction=0.5]"):
        with pytest.raises(UsageError, match="fraction"):
            SCENARIOS.build(text)
