"""Attacks on a pool in which some images are queries only."""

import pytest
import torch
import torch.nn.functional as F

from attacks import ATTACKS, OBJECTIVES, PooledScore, Problem
from benchmark.core.embedder import Embedder
from benchmark.core.errors import BenchmarkError
from benchmark.metrics import retrieve

LABELS = torch.tensor([0, 1, 2, 0, 1, 1, 2, 2, 0, 3, 2, 1])
QUERIES = torch.tensor(
    [1, 0, 0, 0, 1, 0, 1, 0, 1, 1, 0, 0], dtype=torch.bool
)  # the one of class 3 has no positive
EVERY = torch.arange(len(LABELS))
QUERY_INDICES, GALLERY_INDICES = EVERY[QUERIES], EVERY[~QUERIES]


def problem_of(clean, queries=QUERIES):
    problem = Problem(
        Embedder(), torch.zeros(len(LABELS), 1, 1, 1), LABELS, EVERY + 50, "linf", 0.1, queries=queries
    )
    problem.clean = clean
    return problem


def directions(count=12):
    return F.normalize(torch.randn(count, 5, dtype=torch.float64))


def retrieval(queries, gallery):
    return retrieve(
        queries[QUERY_INDICES], gallery[GALLERY_INDICES], LABELS[QUERY_INDICES], LABELS[GALLERY_INDICES],
        QUERY_INDICES, GALLERY_INDICES
    )  # fmt: skip


def test_neighbour_is_the_margin_in_the_gallery():
    problem, moved = problem_of(directions()), directions()
    found = OBJECTIVES.build("neighbour").bind(problem)(moved, EVERY)
    for i in range(len(LABELS)):
        seen = [j for j in GALLERY_INDICES.tolist() if j != i]
        cosines = {j: float(moved[i] @ problem.clean[j]) for j in seen}
        negative = max(c for j, c in cosines.items() if LABELS[j] != LABELS[i])
        positive = max((c for j, c in cosines.items() if LABELS[j] == LABELS[i]), default=-2.0)
        assert float(found[i]) == pytest.approx(negative - positive)


def test_neighbour_of_queries_is_positive_exactly_where_recall_fails():
    right = []
    for _ in range(20):
        problem, moved = problem_of(directions()), directions()
        margins = OBJECTIVES.build("neighbour").bind(problem)(moved, EVERY)
        result = retrieval(moved, problem.clean)
        assert result.left_out == 1
        assert torch.equal(result.recall[1], margins[QUERY_INDICES[result.kept]] < 0)
        right += result.recall[1].tolist()
    assert 0 < sum(right) < len(right)


def test_the_gradient_of_neighbour_does_not_see_other_queries():
    clean, moved = directions(), directions()
    gradients = []
    for embeddings in (clean, clean.index_copy(0, QUERY_INDICES, directions(len(QUERY_INDICES)))):
        problem = problem_of(embeddings)
        problem.cosine_gap = 0.3
        z = moved.clone().requires_grad_(True)
        gradients.append(
            torch.autograd.grad(OBJECTIVES.build("neighbour").bind(problem)(z, EVERY).sum(), z)[0]
        )
    assert torch.equal(*gradients)
    assert gradients[0].abs().min(1).values.max() > 0


def test_gallery_away_counts_the_queries_that_fail():
    problem = problem_of(directions())
    score = OBJECTIVES.build("gallery_away[temperature=0.0001]").bind(problem)
    differences = set()
    for bank, candidates in ((directions(), directions(20)) for _ in range(6)):
        score.observe(EVERY, bank)
        for i in range(len(LABELS)):
            counts = []
            for candidate in candidates:
                gallery = bank.index_copy(0, EVERY[i : i + 1], candidate.unsqueeze(0))
                counts.append(int((~retrieval(problem.clean, gallery).recall[1]).sum()))
            scores = score(candidates, torch.full((len(candidates),), i))
            assert (scores - scores[0]).round().tolist() == [count - counts[0] for count in counts]
            differences |= {count - counts[0] for count in counts}
            if QUERIES[i]:
                assert set(scores.tolist()) == {0.0}
    assert len(differences) > 2


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_other_objectives_ignore_the_query_split(name):
    clean, moved, attacked = directions(), directions(), directions()
    found = []
    for queries in (QUERIES, None):
        score = OBJECTIVES.build(name).bind(problem_of(clean, queries))
        if isinstance(score, PooledScore):
            score.observe(EVERY, attacked)
        found.append(score(moved, EVERY))
    assert torch.equal(*found) == (name not in ("neighbour", "target", "gallery_away", "hub"))


def test_robrank_rejects_a_query_split(linear, pool):
    queries = torch.arange(len(pool)) % 2 == 0
    problem = Problem(linear, pool.images, pool.labels, pool.ids, "linf", 0.1, queries=queries)
    with pytest.raises(BenchmarkError, match="each image queries all others"):
        ATTACKS.build("robrank[measure=gtm]").run(problem)


def test_a_transferred_attack_respects_the_query_split(trained, pool):
    queries = torch.arange(len(pool)) % 3 == 0
    problem = Problem(
        trained, pool.images, pool.labels, pool.ids, "linf", 0.05, queries=queries,
        sources={"vanilla": trained},
    )  # fmt: skip
    inner = ATTACKS.build("pgd_decay[objective=neighbour,steps=3]").run(problem)
    outer = ATTACKS.build("transfer[source=vanilla,attack=pgd_decay[objective=neighbour,steps=3]]").run(
        problem
    )
    assert torch.equal(inner.images, outer.images)
