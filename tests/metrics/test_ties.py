"""The last bits of a similarity, which differ between machines, decide nothing."""

import dataclasses
import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from benchmark.metrics import TIE_TOLERANCE, pair_similarity, retrieve, verification_metrics
from benchmark.metrics.ranking import rank_counts, top1_is_positive

NOISE = 1e-15  # of a product of unit vectors, whatever the order of summation


@dataclasses.dataclass
class Pool:
    vectors: torch.Tensor  # whole numbers in float64: unequal cosines differ by 1e-5 and more
    labels: torch.Tensor

    def shaken(self, seed):
        """The same pool with an error in each coordinate, as if similarities were summed in another order."""
        generator = torch.Generator().manual_seed(seed)
        error = NOISE * (2 * torch.rand(self.vectors.shape, generator=generator, dtype=torch.float64) - 1)
        return dataclasses.replace(self, vectors=self.vectors * (1 + error))


@st.composite
def pools(draw):
    """Few vectors, each several times and some of them longer: most similarities have ties."""
    number = st.integers(-2, 2)
    vectors = draw(st.lists(st.tuples(number, number, number).filter(any), min_size=1, max_size=5))
    size = draw(st.integers(2, 24))
    rows = draw(st.lists(st.sampled_from(vectors), min_size=size, max_size=size))
    lengths = draw(st.lists(st.integers(1, 3), min_size=size, max_size=size))
    labels = draw(st.lists(st.integers(0, 2), min_size=size, max_size=size))
    vectors = torch.tensor(rows, dtype=torch.float64) * torch.tensor(lengths)[:, None]
    return Pool(vectors, torch.tensor(labels))


def retrieval(queries, gallery):
    ids = torch.arange(len(queries.labels))
    return retrieve(queries.vectors, gallery.vectors, queries.labels, gallery.labels, ids, ids, ks=(1, 2, 8))


def values(queries, gallery):
    """All that is computed from similarities, as lists."""
    size = len(queries.labels)
    index = torch.arange(size)
    item = index.roll(1)
    outcomes = retrieval(queries, gallery)
    counts = rank_counts(
        queries.vectors,
        gallery.vectors,
        pair_similarity(queries.vectors, gallery.vectors[item]),
        torch.stack([index, item], 1),
    )
    found = {
        "recall": {k: right.tolist() for k, right in outcomes.recall.items()},
        "map_r": outcomes.map_r.tolist(),
        "r_precision": outcomes.r_precision.tolist(),
        "nearer": counts.nearer.tolist(),
        "tied": counts.tied.tolist(),
    }
    if len(outcomes.kept):
        for random_ties in (False, True):
            top = top1_is_positive(queries.vectors, gallery.vectors, queries.labels, random_ties)
            found[f"top1_{random_ties}"] = top.tolist()
    pairs = torch.combinations(index)
    same = queries.labels[pairs[:, 0]] == gallery.labels[pairs[:, 1]]
    if same.any() and not same.all():
        similarity = pair_similarity(queries.vectors[pairs[:, 0]], gallery.vectors[pairs[:, 1]])
        found["verification"] = verification_metrics(similarity, same)
    return found


@pytest.mark.slow
@given(pools(), st.integers(0, 10_000))
@settings(max_examples=200)
def test_errors_of_similarities_change_no_value(pool, seed):
    assert values(pool.shaken(seed), pool.shaken(seed + 1)) == values(pool, pool)


@given(pools(), st.permutations(range(3)), st.integers(0, 10_000))
@settings(max_examples=50)
def test_the_order_of_coordinates_and_the_lengths_of_vectors_change_no_value(pool, order, seed):
    lengths = torch.randint(1, 9, (len(pool.labels), 1), generator=torch.Generator().manual_seed(seed))
    other = dataclasses.replace(pool, vectors=pool.vectors[:, order] * lengths)
    assert values(other, other) == values(pool, pool)


@given(pools())
@settings(max_examples=100)
def test_retrieval_is_that_of_exact_arithmetic(pool):
    vectors, labels = pool.vectors.int().tolist(), pool.labels.tolist()
    found = retrieval(pool, pool)
    expected = []
    for i, query in enumerate(vectors):
        ranking = []
        for j, other in enumerate(vectors):
            product = sum(x * y for x, y in zip(query, other, strict=True))
            cosine = Fraction(product * abs(product), sum(x * x for x in other))  # squared, with its sign
            if j != i:
                ranking.append((-cosine, labels[j] == labels[i]))
        hits = [positive for _, positive in sorted(ranking)]
        total = sum(hits)
        if total:
            expected.append(sum(sum(hits[: k + 1]) / (k + 1) for k in range(total) if hits[k]) / total)
    assert found.map_r.tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size", [1.0, 1e-3, 1e-9, 1e-11, 0.0])
def test_ties_are_found_at_every_similarity(size, seed):
    """Also where the similarity lies between two numbers of float32, or is so small that these are dense."""
    random = np.random.default_rng(seed)
    cosines = size * random.random(200)
    below = cosines[::2].astype(np.float32)
    cosines[::2] = (below.astype(np.float64) + np.nextafter(below, np.float32(2))) / 2  # between two numbers
    for cosine in cosines.tolist():
        item = torch.tensor([cosine, (1 - cosine**2) ** 0.5, 0.0], dtype=torch.float64)
        error = NOISE * torch.from_numpy(random.uniform(-1, 1, (9, 3)))
        gallery, query = item + error, torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
        labels, ids = torch.arange(9), torch.arange(1, 10)
        outcomes = retrieve(query, gallery, torch.tensor([4]), labels, torch.tensor([0]), ids, ks=(8, 9))
        assert (outcomes.recall[8].tolist(), outcomes.recall[9].tolist()) == ([False], [True])


def random_pools():
    """Random embeddings in float32 of 30 classes, their labels, and their cosines in float64."""
    labels = torch.arange(150) % 30
    for seed in itertools.count():
        noise = torch.randn(150, 16, generator=torch.Generator().manual_seed(seed))
        embeddings = F.normalize(noise + F.one_hot(labels % 16, 16))
        yield embeddings, labels, (embeddings.double() @ embeddings.double().T).fill_diagonal_(-2)


def test_without_ties_the_order_is_that_of_similarities():
    # Ten pools where no two similarities to a query are close, whatever the last bits of the random numbers.
    clear = (pool for pool in random_pools() if pool[2].sort(1).values.diff(dim=1).min() > 10 * TIE_TOLERANCE)
    for embeddings, labels, cosines in itertools.islice(clear, 10):
        hits = (labels[cosines.argsort(1, descending=True)] == labels[:, None])[:, :-1].double()
        precision = hits.cumsum(1) / torch.arange(1, 150)
        expected = (precision * hits)[:, :4].sum(1) / 4
        ids = torch.arange(150)
        outcomes = retrieve(embeddings, embeddings, labels, labels, ids, ids)
        torch.testing.assert_close(outcomes.map_r, expected, atol=1e-12, rtol=0)
        assert outcomes.recall[1].tolist() == hits[:, 0].bool().tolist()
        assert top1_is_positive(embeddings, embeddings, labels, False).tolist() == hits[:, 0].tolist()


def test_verification_counts_a_negative_pair_before_a_positive_one_that_is_tied():
    same = torch.tensor([True, False])
    for gap in (0.0, 1e-15, -1e-15, 1e-10):
        similarity = torch.tensor([0.5 + gap, 0.5], dtype=torch.float64)
        assert verification_metrics(similarity, same) == {"eer": 1.0}
    assert verification_metrics(torch.tensor([0.5 + 1e-8, 0.5], dtype=torch.float64), same) == {"eer": 0.0}
