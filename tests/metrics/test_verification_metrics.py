import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from benchmark.core.errors import BenchmarkError
from benchmark.metrics import verification_metrics, verification_pairs

FARS = {"tar_far_1e2": 0.01, "tar_far_1e3": 0.001}


def pairs_of(positives, negatives, seed=0, gap=1.0, levels=None):
    generator = torch.Generator().manual_seed(seed)
    same = torch.arange(positives + negatives) < positives
    similarity = gap * same + torch.randn(len(same), generator=generator)
    if levels:
        similarity = (similarity * levels).round() / levels  # many ties
    order = torch.randperm(len(same), generator=generator)
    return similarity[order], same[order]


def naive(similarity, same):
    """Tries every threshold."""
    positives = [s for s, y in zip(similarity.tolist(), same.tolist(), strict=True) if y]
    negatives = [s for s, y in zip(similarity.tolist(), same.tolist(), strict=True) if not y]
    found = {name: 0.0 for name, far in FARS.items() if len(negatives) * far > 0.999}
    found["eer"] = 1.0
    for threshold in {*positives, *negatives}:
        tar = sum(s >= threshold for s in positives) / len(positives)
        far = sum(s >= threshold for s in negatives) / len(negatives)
        found["eer"] = min(found["eer"], max(far, 1 - tar))
        for name in found.keys() & FARS.keys():
            if far <= FARS[name] + 1e-12:
                found[name] = max(found[name], tar)
    return found


@pytest.mark.parametrize("levels", [None, 2, 10])
@pytest.mark.parametrize(("positives", "negatives"), [(30, 50), (40, 300), (25, 1000)])
def test_agrees_with_naive_loops(positives, negatives, levels):
    similarity, same = pairs_of(positives, negatives, negatives, levels=levels)
    expected = naive(similarity, same)
    assert verification_metrics(similarity, same) == pytest.approx(expected)
    assert 0 < expected["eer"] < 1


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
def test_agrees_with_naive_loops_where_nearly_all_are_ties(rows):
    similarity, same = torch.tensor([float(s) for s, _ in rows]), torch.tensor([y for _, y in rows])
    if same.any() and not same.all():
        assert verification_metrics(similarity, same) == pytest.approx(naive(similarity, same))


@pytest.mark.parametrize("levels", [None, 5])
@pytest.mark.parametrize("gap", [-1.0, 0.0, 1.0, 3.0])
def test_agrees_with_scikit_learn(gap, levels):
    similarity, same = pairs_of(2000, 3000, gap=gap, levels=levels)
    far, tar, _ = roc_curve(same.numpy(), similarity.numpy(), drop_intermediate=False)
    found = verification_metrics(similarity, same)
    assert set(found) == {"tar_far_1e2", "tar_far_1e3", "eer"}
    for name, limit in FARS.items():
        assert found[name] == pytest.approx(tar[far <= limit + 1e-12].max())
    assert found["eer"] == pytest.approx(np.maximum(far, 1 - tar).min())
    if levels is None:  # where the rates cross when the curve is interpolated
        crossing = np.interp(0.0, far - (1 - tar), far)
        assert found["eer"] == pytest.approx(crossing, abs=1 / 2000)


def test_a_constant_embedding_is_the_worst():
    same = torch.arange(2000) % 2 == 0
    expected = {"tar_far_1e2": 0.0, "tar_far_1e3": 0.0, "eer": 1.0}
    assert verification_metrics(torch.ones(2000), same) == expected
    assert verification_metrics(torch.where(same, 1.0, -1.0), same) == {
        "tar_far_1e2": 1.0,
        "tar_far_1e3": 1.0,
        "eer": 0.0,
    }


@pytest.mark.parametrize(
    ("negatives", "names"),
    [(99, {"eer"}), (100, {"tar_far_1e2", "eer"}), (999, {"tar_far_1e2", "eer"}), (1000, {*FARS, "eer"})],
)
def test_a_rate_that_too_few_negatives_can_show_is_left_out(negatives, names):
    assert set(verification_metrics(*pairs_of(10, negatives))) == names


def test_exactly_the_allowed_false_accepts():
    # Three of 300 negatives may be accepted: a positive under the third counts, one under the fourth not.
    similarity = torch.cat([torch.tensor([9.0, 8, 7, 5]), torch.zeros(296), torch.tensor([6.0, 4])])
    same = torch.arange(302) >= 300
    assert verification_metrics(similarity, same)["tar_far_1e2"] == 0.5
    similarity[-2] = 5  # a tie with the fourth
    assert verification_metrics(similarity, same)["tar_far_1e2"] == 0.0


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_similarities_that_are_not_finite_are_refused(bad):
    with pytest.raises(BenchmarkError, match=r"^Verification: .*NaN"):
        verification_metrics(torch.tensor([0.1, bad]), torch.tensor([True, False]))


def test_one_kind_of_pair_alone_or_another_shape_is_refused():
    with pytest.raises(BenchmarkError, match="3 positive and 0 negative"):
        verification_metrics(torch.zeros(3), torch.ones(3, dtype=torch.bool))
    with pytest.raises(BenchmarkError, match=r"shape"):
        verification_metrics(torch.zeros(3), torch.ones(2, dtype=torch.bool))


@pytest.fixture
def pool():
    labels = torch.randint(0, 30, (400,))
    labels[[5, 77]] = torch.tensor([30, 31])  # alone in their classes
    return labels, torch.randperm(5000)[:400]


def test_half_of_the_pairs_are_positive_and_each_image_has_one(pool):
    labels, ids = pool
    pairs = verification_pairs(labels, ids)
    assert pairs.partner.shape == pairs.same.shape == (400,)
    assert int(pairs.same.sum()) == 200
    assert torch.equal(labels[pairs.partner] == labels, pairs.same)
    assert (pairs.partner != torch.arange(400)).all()
    assert not pairs.same[[5, 77]].any()
    assert len(pairs.partner.unique()) > 200  # not the same partner again and again


def test_every_other_image_can_be_drawn():
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    seen = set()
    for start in range(0, 6000, 10):
        seen |= set(enumerate(verification_pairs(labels, torch.arange(6) + start).partner.tolist()))
    assert seen == {(i, j) for i in range(6) for j in range(6) if i != j}


def test_pairs_depend_on_ids_and_not_on_the_order_of_the_pool(pool):
    labels, ids = pool
    order = torch.randperm(400)
    pairs, moved = verification_pairs(labels, ids), verification_pairs(labels[order], ids[order])
    assert torch.equal(moved.same, pairs.same[order])
    assert torch.equal(ids[order][moved.partner], ids[pairs.partner][order])
    assert not torch.equal(verification_pairs(labels, ids + 1).partner, pairs.partner)


def test_classes_of_one_image_have_negative_pairs():
    pairs = verification_pairs(torch.arange(7), torch.arange(7))
    assert not pairs.same.any()
    mostly = verification_pairs(torch.tensor([0, 0, 1, 2, 3, 4, 5]), torch.arange(7))
    assert mostly.same.tolist() == [True, True, False, False, False, False, False]
    assert mostly.partner[:2].tolist() == [1, 0]


def test_pools_without_negative_pairs_are_refused():
    with pytest.raises(BenchmarkError, match="fewer than two classes"):
        verification_pairs(torch.zeros(5, dtype=torch.int64), torch.arange(5))
    with pytest.raises(BenchmarkError, match="shape"):
        verification_pairs(torch.zeros(5, dtype=torch.int64), torch.arange(4))
