import dataclasses
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN
from torch.nn import functional as F

from benchmark.core.errors import BenchmarkError
from benchmark.metrics import retrieve
from benchmark.metrics.ranking import rank_counts

# Few directions in the plane, so that ties and duplicates are common.
DIRECTIONS = F.normalize(torch.tensor([[1, 0], [0, 1], [1, 1], [1, 2], [-1, 0], [-1, 2]]).float())


@dataclasses.dataclass
class Case:
    queries: torch.Tensor
    gallery: torch.Tensor
    query_labels: torch.Tensor
    gallery_labels: torch.Tensor
    query_ids: torch.Tensor
    gallery_ids: torch.Tensor

    def retrieve(self, **settings):
        return retrieve(*(getattr(self, field.name) for field in dataclasses.fields(self)), **settings)


@st.composite
def cases(draw):
    def side(size):
        directions = draw(st.lists(st.integers(0, 5), min_size=size, max_size=size))
        labels = draw(st.lists(st.integers(0, 3), min_size=size, max_size=size))
        ids = draw(st.lists(st.integers(0, 20), min_size=size, max_size=size))
        return DIRECTIONS[directions], torch.tensor(labels), torch.tensor(ids)

    queries, query_labels, query_ids = side(draw(st.integers(1, 12)))
    gallery, gallery_labels, gallery_ids = side(draw(st.integers(1, 25)))
    return Case(queries, gallery, query_labels, gallery_labels, query_ids, gallery_ids)


def random_self_case(seed=0, n=120, d=16, classes=12, shift=1.0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (n,), generator=generator)
    centres = torch.randn(classes, d, generator=generator)
    embeddings = F.normalize(shift * centres[labels] + torch.randn(n, d, generator=generator))
    return Case(embeddings, embeddings, labels, labels, torch.arange(n), torch.arange(n))


def ranked(positives, negatives):
    """Which ranks hold a positive: a negative precedes every positive that is not more similar by 1e-9."""
    positives, negatives = sorted(positives, reverse=True), sorted(negatives, reverse=True)
    hits = []
    while positives or negatives:
        negative_first = negatives and (not positives or positives[0] - negatives[0] <= 1e-9)
        (negatives if negative_first else positives).pop(0)
        hits.append(not negative_first)
    return hits


def separated_case(seed=0, margin=2e-6, **options):
    """A random pool without near-ties: the similarities of positives and negatives differ by `margin`."""
    for draw in itertools.count(1000 * seed):
        case = random_self_case(draw, **options)
        embeddings = F.normalize(case.queries.double())
        cosines, order = (embeddings @ embeddings.T).fill_diagonal_(-2).sort(1)
        same = case.gallery_labels[order] == case.query_labels[:, None]
        if cosines.diff(dim=1)[same[:, 1:] != same[:, :-1]].min() > margin:
            return case
    raise AssertionError


def naive(case, ks=(1, 2, 4, 8)):
    """Ranks every gallery and walks down it."""
    recall, map_r, r_precision, kept = {k: [] for k in ks}, [], [], []
    for i, query in enumerate(case.queries.double()):
        sides = {True: [], False: []}
        for reference, same, own in zip(
            case.gallery.double(),
            case.gallery_labels == case.query_labels[i],
            case.gallery_ids == case.query_ids[i],
            strict=True,
        ):
            if not own:
                sides[bool(same)].append(float(query @ reference / query.norm() / reference.norm()))
        hits = ranked(sides[True], sides[False])
        total = sum(hits)
        if not total:
            continue
        kept.append(i)
        for k in ks:
            recall[k].append(hits.index(True) < k)
        map_r.append(sum(sum(hits[: j + 1]) / (j + 1) for j in range(total) if hits[j]) / total)
        r_precision.append(sum(hits[:total]) / total)
    return recall, map_r, r_precision, kept


def same_outcomes(ours, theirs):
    return (
        all(torch.equal(ours.recall[k], theirs.recall[k]) for k in ours.recall)
        and torch.allclose(ours.map_r, theirs.map_r, atol=1e-12)
        and torch.equal(ours.r_precision, theirs.r_precision)
        and torch.equal(ours.kept, theirs.kept)
        and ours.left_out == theirs.left_out
    )


def check_against_naive(case, ks=(1, 2, 4, 8)):
    outcomes = case.retrieve(ks=ks)
    recall, map_r, r_precision, kept = naive(case, ks)
    assert outcomes.kept.tolist() == kept
    assert outcomes.left_out == len(case.queries) - len(kept)
    assert {k: right.tolist() for k, right in outcomes.recall.items()} == recall
    assert outcomes.map_r.tolist() == pytest.approx(map_r, abs=1e-12)
    assert outcomes.r_precision.tolist() == r_precision


@given(cases())
@settings(max_examples=150)
def test_agrees_with_naive_loops_with_ties(case):
    check_against_naive(case)


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_naive_loops_without_ties(seed):
    check_against_naive(separated_case(seed, n=80))


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_agrees_with_naive_loops_where_classes_are_large_and_k_is_larger(shift):
    # R from 0 to 80, and K on both sides of it, up to more than the gallery holds.
    case = random_self_case(n=180, classes=2, shift=shift)
    labels = torch.where(torch.arange(180) < 40, torch.arange(180) // 8 + 2, case.query_labels)
    labels[0] = 99
    case.query_labels = case.gallery_labels = labels
    check_against_naive(case, ks=(1, 10, 100, 179, 1000))


def test_k_beyond_the_number_of_positives_counts_every_negative():
    # 1,199 of the 1,200 negatives are nearer than the only positive: rank 1,200.
    gallery = torch.stack([torch.ones(1201), torch.linspace(0, 1, 1201)], 1)
    labels, ids = torch.zeros(1201, dtype=torch.int64), torch.arange(1201)
    labels[1199] = 1
    one, other = torch.tensor([1]), torch.tensor([-1])
    outcomes = retrieve(torch.tensor([[1.0, 0.0]]), gallery, one, labels, other, ids, ks=(1, 1199, 1200))
    assert {k: right.tolist() for k, right in outcomes.recall.items()} == {
        1: [False],
        1199: [False],
        1200: [True],
    }


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.5])
@pytest.mark.parametrize("classes", [3, 12, 60])
def test_agrees_with_pytorch_metric_learning(shift, classes):
    # The library ranks in float32 and breaks ties in its own way.
    case = separated_case(classes, n=100, classes=classes, shift=shift)
    calculator = AccuracyCalculator(
        include=("precision_at_1", "mean_average_precision_at_r", "r_precision"),
        k="max_bin_count",
        knn_func=CustomKNN(CosineSimilarity()),
    )
    expected = calculator.get_accuracy(case.queries, case.query_labels)
    means = case.retrieve().means()
    assert means["r1"] == pytest.approx(expected["precision_at_1"], abs=1e-6)
    assert means["map_r"] == pytest.approx(expected["mean_average_precision_at_r"], abs=1e-6)
    assert means["r_precision"] == pytest.approx(expected["r_precision"], abs=1e-6)


@given(cases(), st.integers(1, 30))
def test_chunk_size_does_not_matter(case, chunk):
    assert same_outcomes(case.retrieve(chunk=chunk), case.retrieve())


@pytest.mark.parametrize("seed", range(8))
def test_orthogonal_vectors_are_ties_whatever_the_chunk(seed):
    """Their cosines come out as some 1e-17 or other, and differ with the shape of the product."""
    generator = torch.Generator().manual_seed(seed)
    queries = torch.randint(-3, 4, (9, 24), generator=generator).float()
    gallery = torch.randint(-3, 4, (40, 24), generator=generator).float()
    first = queries[0]
    gallery = gallery * (first @ first) - torch.outer(gallery @ first, first)  # exact: these are integers
    assert not (gallery @ first).any()
    labels = torch.cat([torch.zeros(1), torch.randint(0, 3, (48,), generator=generator)]).long()
    case = Case(queries, gallery, labels[:9], labels[9:], torch.arange(9), torch.arange(100, 140))
    outcomes = case.retrieve(ks=(1, 30))
    assert outcomes.map_r[0] == outcomes.r_precision[0] == 0  # all are tied, and ties count against it
    for chunk in (1, 2, 9):
        assert same_outcomes(case.retrieve(ks=(1, 30), chunk=chunk), outcomes)
    counts = rank_counts(queries[:1], gallery, torch.zeros(1), torch.zeros(1, 1, dtype=torch.int64))
    assert counts.tied.tolist() == [39]


@pytest.mark.parametrize("chunk", [1, 7, 119, 120, 1000])
def test_chunk_size_does_not_matter_on_real_numbers(chunk):
    case = random_self_case(n=120)
    assert same_outcomes(case.retrieve(chunk=chunk), case.retrieve())


@given(cases(), st.randoms(use_true_random=False))
def test_order_of_the_gallery_and_names_of_labels_and_ids_do_not_matter(case, random):
    order = random.sample(range(len(case.gallery)), len(case.gallery))
    labels, ids = torch.tensor(random.sample(range(99), 4)), torch.tensor(random.sample(range(99), 21))
    other = Case(
        case.queries,
        case.gallery[order],
        labels[case.query_labels],
        labels[case.gallery_labels][order],
        ids[case.query_ids],
        ids[case.gallery_ids][order],
    )
    assert same_outcomes(other.retrieve(), case.retrieve())


@given(cases(), st.randoms(use_true_random=False))
def test_queries_are_independent_of_each_other(case, random):
    order = torch.tensor(random.sample(range(len(case.queries)), len(case.queries)))
    moved = dataclasses.replace(
        case,
        queries=case.queries[order],
        query_labels=case.query_labels[order],
        query_ids=case.query_ids[order],
    ).retrieve()
    expected = case.retrieve()
    place = {query: row for row, query in enumerate(expected.kept.tolist())}
    rows = [place[query] for query in order[moved.kept].tolist()]
    assert len(rows) == len(place)
    assert torch.equal(moved.recall[1], expected.recall[1][rows])
    assert torch.allclose(moved.map_r, expected.map_r[rows])


@given(st.integers(0, 10_000), st.integers(1, 200))
@settings(max_examples=30)
def test_constant_embeddings_score_zero(seed, d):
    direction = torch.randn(1, d, generator=torch.Generator().manual_seed(seed))
    embeddings = F.normalize(direction).expand(60, d)
    labels, ids = torch.arange(60) % 6, torch.arange(60)
    for chunk in (1, 13, 60):
        outcomes = retrieve(embeddings, embeddings, labels, labels, ids, ids, chunk=chunk)
        names = ("r1", "r2", "r4", "r8", "map_r", "r_precision")
        assert outcomes.means() == dict.fromkeys(names, 0.0)


def test_own_id_is_left_out_and_duplicates_are_not():
    # Image 1 is a copy of image 0 in the same class: right. Image 3 copies image 2 in another class: wrong.
    embeddings = torch.eye(4)[[0, 0, 1, 1, 1]]
    labels, ids = torch.tensor([0, 0, 1, 2, 2]), torch.tensor([10, 11, 12, 13, 14])
    outcomes = retrieve(embeddings, embeddings, labels, labels, ids, ids)
    assert outcomes.kept.tolist() == [0, 1, 3, 4]
    assert outcomes.left_out == 1
    assert outcomes.recall[1].tolist() == [True, True, False, False]
    assert outcomes.recall[2].tolist() == [True, True, True, True]


def test_own_id_is_found_wherever_it_lies_in_the_gallery():
    # The first query was moved onto its positive, away from its own clean image: the id decides.
    queries, gallery = torch.eye(3)[[1, 1, 2]], torch.eye(3)
    labels, ids, order = torch.tensor([0, 0, 1]), torch.tensor([5, 6, 7]), [2, 0, 1]
    outcomes = retrieve(queries, gallery[order], labels, labels[order], ids, ids[order])
    assert outcomes.kept.tolist() == [0, 1]
    assert outcomes.recall[1].tolist() == [True, False]


def test_without_shared_ids_an_equal_image_counts():
    embeddings, labels = torch.eye(2), torch.tensor([0, 1])
    outcomes = retrieve(embeddings, embeddings, labels, labels, torch.tensor([0, 1]), torch.tensor([2, 3]))
    assert outcomes.means() == dict.fromkeys(("r1", "r2", "r4", "r8", "map_r", "r_precision"), 1.0)


@pytest.mark.parametrize(
    ("ties", "right"), [(0, [1, 2, 4, 8]), (1, [2, 4, 8]), (3, [4, 8]), (7, [8]), (8, [])]
)
def test_ties_count_against_the_query(ties, right):
    gallery = torch.cat(
        [torch.tensor([[1.0, 0.0]]).expand(1 + ties, 2), torch.tensor([[0.0, 1.0]]).expand(20, 2)]
    )
    labels, ids = torch.tensor([0] + [1] * (ties + 20)), torch.arange(1, ties + 22)
    outcomes = retrieve(
        torch.tensor([[1.0, 0.0]]), gallery, torch.tensor([0]), labels, torch.tensor([0]), ids
    )
    assert [k for k, hit in outcomes.recall.items() if hit] == right


def test_queries_without_a_positive_are_left_out_and_counted():
    gallery, labels = torch.eye(4), torch.tensor([0, 1, 2, 3])
    queries, query_labels = torch.eye(4)[[0, 1, 2]], torch.tensor([0, 9, 2])
    outcomes = retrieve(queries, gallery, query_labels, labels, torch.tensor([4, 5, 2]), torch.arange(4))
    assert outcomes.kept.tolist() == [0]
    assert outcomes.left_out == 2
    assert outcomes.means()["r1"] == 1.0


def test_means_of_no_query_are_refused():
    outcomes = retrieve(*[torch.eye(3)] * 2, *[torch.arange(3)] * 4)
    assert outcomes.left_out == 3
    assert all(len(right) == 0 for right in outcomes.recall.values())
    with pytest.raises(BenchmarkError, match=r"^Retrieval: none of the 3 queries has a positive"):
        outcomes.means()


def test_types_shapes_and_other_ks():
    outcomes = random_self_case().retrieve(ks=(1, 100))
    assert set(outcomes.recall) == {1, 100}
    assert outcomes.recall[1].dtype == torch.bool
    assert outcomes.recall[1].shape == outcomes.map_r.shape == outcomes.kept.shape
    assert outcomes.r_precision.shape == outcomes.kept.shape
    assert outcomes.r_precision.dtype == torch.float64
    assert (outcomes.r_precision >= outcomes.map_r).all()
    assert list(outcomes.means()) == ["r1", "r100", "map_r", "r_precision"]
    assert all(type(value) is float for value in outcomes.means().values())
    with pytest.raises(dataclasses.FrozenInstanceError):
        outcomes.left_out = 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_precision(dtype):
    case = random_self_case(shift=2.0)
    other = dataclasses.replace(case, queries=case.queries.to(dtype), gallery=case.gallery.to(dtype))
    rounded = dataclasses.replace(other, queries=other.queries.float(), gallery=other.gallery.float())
    assert same_outcomes(other.retrieve(), rounded.retrieve())
    assert other.retrieve().means() == pytest.approx(case.retrieve().means(), abs=0.05)


def test_tensors_that_require_grad():
    case = random_self_case()
    case.queries = case.queries.clone().requires_grad_()
    assert not case.retrieve().map_r.requires_grad


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_same_on_a_gpu():
    case = random_self_case()
    there = Case(*(getattr(case, field.name).cuda() for field in dataclasses.fields(case)))
    mixed = dataclasses.replace(case, queries=there.queries)
    assert same_outcomes(there.retrieve(), case.retrieve())
    assert same_outcomes(mixed.retrieve(), case.retrieve())


@pytest.mark.parametrize("side", ["queries", "gallery"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused_in_one_line(side, bad):
    case = random_self_case()
    broken = getattr(case, side).clone()
    broken[[3, 5], 0] = bad
    with pytest.raises(BenchmarkError, match=r"^Retrieval: 2 of 120 \w+ embeddings hold NaN or infinity\.$"):
        dataclasses.replace(case, **{side: broken}).retrieve()


@pytest.mark.parametrize(
    "change",
    [
        {"queries": torch.zeros(120)},
        {"queries": torch.zeros(0, 16)},
        {"queries": torch.zeros(120, 3)},
        {"query_labels": torch.zeros(7)},
        {"gallery_ids": torch.zeros(7)},
    ],
)
def test_shapes_that_do_not_fit_are_refused(change):
    with pytest.raises(BenchmarkError, match=r"^Retrieval: .*\.$"):
        dataclasses.replace(random_self_case(), **change).retrieve()


@pytest.mark.parametrize("wrong", [{"ks": ()}, {"ks": (0, 1)}, {"chunk": 0}])
def test_numbers_below_one_are_refused(wrong):
    with pytest.raises(BenchmarkError, match="must be 1 or more"):
        random_self_case().retrieve(**wrong)


def test_agrees_with_numpy_ranks_on_a_larger_pool():
    case = separated_case(n=300, classes=30, shift=0.7, margin=3e-7)
    similarity = (case.queries.double() @ case.gallery.double().T).numpy()
    np.fill_diagonal(similarity, -np.inf)
    same = (case.query_labels[:, None] == case.gallery_labels).numpy()
    nearest = np.take_along_axis(same, np.argsort(-similarity, axis=1), axis=1)
    means = case.retrieve().means()
    for k in (1, 2, 4, 8):
        assert means[f"r{k}"] == pytest.approx(nearest[:, :k].any(axis=1).mean())
