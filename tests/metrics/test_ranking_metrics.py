import pytest
import torch
import torch.nn.functional as F

from benchmark.core.errors import BenchmarkError
from benchmark.metrics import retrieve
from benchmark.metrics.ranking import (
    first_result_share,
    pair_similarity,
    rank_counts,
    short_range_correlation,
    top1_is_positive,
)

LINE = torch.tensor([0.0, 10.0, 20.0, 30.0, 40.0])


def at(degrees):
    angles = torch.deg2rad(torch.as_tensor(degrees, dtype=torch.float64))
    return torch.stack([angles.cos(), angles.sin()], dim=1)


@pytest.fixture
def crowd():
    """Thirty points with many exact ties: three of them at each of ten positions."""
    points = F.normalize(torch.randn(10, 4)).repeat(3, 1)
    image = torch.arange(30)
    return points, torch.where(image % 10 < 5, image % 5, image % 4)  # some positions have one class


def naive(queries, gallery, scores, absent):
    found = []
    for i, query in enumerate(queries):
        competitors = [float(query @ x) for j, x in enumerate(gallery) if j not in absent[i].tolist()]
        bar = float(scores[i])
        near = [abs(other - bar) < 1e-6 for other in competitors]
        ahead = sum(other > bar and not tied for other, tied in zip(competitors, near, strict=True))
        found.append((ahead, sum(near), len(competitors)))
    return found


def test_ranks_on_a_line_of_known_order():
    gallery = at(LINE)
    target = torch.tensor([4, 0])
    queries = at([0.0, 31.0])  # images 0 and 3, the latter moved by a degree
    own = torch.tensor([0, 3])
    found = rank_counts(
        queries, gallery, pair_similarity(queries, gallery[target]), torch.stack([own, target], 1)
    )
    assert found.nearer.tolist() == [3, 3]  # 1, 2, 3 before 4; 4, 2, 1 before 0
    assert found.tied.tolist() == [0, 0]
    assert found.competitors.tolist() == [3, 3]
    assert found.percentile_rank(0.0).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("chunk", [4, 256])
def test_rank_counts_agree_with_a_loop_and_find_ties(crowd, chunk):
    points, _ = crowd
    target = (torch.arange(30) * 7 + 3) % 30
    absent = torch.stack([torch.arange(30), target], 1)
    scores = pair_similarity(points, points[target])
    found = rank_counts(points, points, scores, absent, chunk)
    expected = naive(points, points, scores, absent)
    assert (
        list(zip(found.nearer.tolist(), found.tied.tolist(), found.competitors.tolist(), strict=True))
        == expected
    )
    assert found.tied.sum() > 30
    for ties in (0.0, 0.5, 1.0):
        shares = [(ahead + ties * tied) / competitors for ahead, tied, competitors in expected]
        assert found.percentile_rank(ties).tolist() == pytest.approx(shares)


def test_half_of_the_ties_is_the_mean_over_their_orders():
    gallery = at([0.0, 5.0, 5.0, 5.0, 9.0])
    found = rank_counts(
        gallery[:1], gallery, pair_similarity(gallery[:1], gallery[1:2]), torch.tensor([[0, 1]])
    )
    positions = [0, 1, 2]  # of item 1 among the three that are tied, of three competitors
    assert float(found.percentile_rank(0.5)) == pytest.approx(sum(positions) / 3 / 3)
    assert [float(found.in_top_k(k, random_ties=True)) for k in (1, 2, 3, 4)] == pytest.approx(
        [1 / 3, 2 / 3, 1, 1]
    )
    assert [float(found.in_top_k(k, random_ties=False)) for k in (1, 2, 3, 4)] == [0, 0, 1, 1]


def test_the_top_agrees_with_retrieval(crowd):
    points, labels = crowd
    ids = torch.arange(30)
    for queries in (points, F.normalize(points + 0.3 * torch.randn(30, 4))):
        right = top1_is_positive(queries, points, labels, random_ties=False, chunk=7)
        expected = retrieve(queries, points, labels, labels, ids, ids).recall[1]
        assert right.tolist() == expected.double().tolist()
        assert 0 < right.mean() < 1
        assert (top1_is_positive(queries, points, labels, random_ties=True) >= right).all()


def test_with_random_ties_top1_is_the_share_of_positives_among_ties():
    gallery = at([0.0, 3.0, 3.0, 3.0, 8.0])
    labels = torch.tensor([0, 0, 1, 2, 0])
    assert float(top1_is_positive(gallery, gallery, labels, random_ties=True)[0]) == pytest.approx(1 / 3)
    assert float(top1_is_positive(gallery, gallery, labels, random_ties=False)[0]) == 0.0


def test_the_own_image_is_no_candidate_even_when_it_is_not_the_nearest():
    gallery = at([0.0, 90.0, 60.0])
    queries = at([80.0, 90.0, 60.0])  # image 0, attacked: another one is now nearest, its own furthest
    labels = torch.tensor([0, 1, 0])
    assert top1_is_positive(queries, gallery, labels, random_ties=False).tolist() == [0.0, 0.0]
    assert top1_is_positive(queries, gallery, torch.tensor([0, 0, 1]), random_ties=False).tolist() == [
        1.0,
        0.0,
    ]


def test_what_cannot_be_scored_is_an_error():
    points = at(LINE)
    with pytest.raises(BenchmarkError, match="none of the 5"):
        top1_is_positive(points, points, torch.arange(5), random_ties=False)
    broken = points.clone()
    broken[2, 1] = torch.nan
    with pytest.raises(BenchmarkError, match="NaN"):
        top1_is_positive(broken, points, torch.zeros(5, dtype=torch.int64), random_ties=False)
    with pytest.raises(BenchmarkError, match="NaN"):
        pair_similarity(points, broken)


def test_orders_of_tied_items_under_both_rules():
    """Query 0 at 0 degrees; items 1 and 2 lie at the same place, 3 is nearer and 4 farther."""
    gallery = at([0, 20, 20, 10, 40])
    order = torch.tensor([[1, 2, 4], [2, 0, 3], [1, 0, 3], [0, 1, 2], [0, 1, 2]])
    against, random = (
        short_range_correlation(gallery, gallery, order, ties=ties)[0] for ties in ("concordant", "random")
    )
    assert (float(against), float(random)) == pytest.approx((1.0, 2 / 3))
    # Of the three items, 1 and 2 are at places 2 and 3 in any order, and 4 is the fourth.
    seen = {
        visible: float(short_range_correlation(gallery, gallery, order, visible, "concordant")[0])
        for visible in (1, 2, 3, 4)
    }
    assert seen == pytest.approx({1: -1.0, 2: (1 - 2) / 3, 3: (1 - 2) / 3, 4: 1.0})


def test_hubs_by_hand():
    """Classes at 0 and 10, at 60 and 70, and a single image at 30 degrees that is attacked to 64."""
    clean, labels = at([0, 10, 60, 70, 30]), torch.tensor([0, 0, 1, 1, 2])
    attacked = clean.clone()
    attacked[4] = at([64])[0]
    share = first_result_share(clean, attacked, labels, 1.0)
    assert share.tolist() == pytest.approx([0.0, 1 / 3, 0.0, 0.0, 2 / 4])  # 10 is the first result of 30
    tied = first_result_share(clean, clean[[1, 1, 1, 1, 1]], labels, 0.5)
    # A copy of the image at 10 is tied with it for the query at 0, and the first result of that at 10.
    assert float(tied[4]) == pytest.approx((0.5 + 1 + 0 + 0) / 4)


def test_hubs_need_three_images():
    with pytest.raises(BenchmarkError, match="hubs need a pool of three images, not 2"):
        first_result_share(at([0, 1]), at([0, 1]), torch.tensor([0, 1]), 1.0)


@pytest.mark.parametrize("compute", [short_range_correlation, first_result_share])
def test_embeddings_that_are_not_finite_raise(compute):
    broken = at([0, 10, 20])
    broken[1, 0] = torch.nan
    third = torch.tensor([[1, 2], [0, 2], [0, 1]]) if compute is short_range_correlation else torch.arange(3)
    rest = () if compute is short_range_correlation else (1.0,)
    with pytest.raises(BenchmarkError, match="NaN or infinity"):
        compute(broken, broken, third, *rest)
