"""Scenarios of a pool whose queries and gallery are different images."""

import numpy as np
import pytest
import torch

from attacks import ATTACKS, Problem
from benchmark.core.errors import BenchmarkError
from benchmark.data import ImageSet
from benchmark.evaluation import PoolEmbeddings, diagnose

KS = (1, 3, 5)


@pytest.fixture
def pool(pool):
    queries = torch.rand(len(pool)) < 0.4
    queries[:5], queries[5:10] = True, False  # no gallery image of class 0, no query of class 1
    return ImageSet(pool.images, pool.labels, pool.ids, queries)


def by_hand(queries, gallery, pool):
    """R@K by name, and for each query with a positive its index and whether it is right at 1."""
    recalls, right = {k: [] for k in KS}, []
    for q in pool.queries.nonzero().flatten().tolist():
        cosines = [
            (float(queries[q] @ gallery[g]), bool(pool.labels[g] == pool.labels[q]))
            for g in (~pool.queries).nonzero().flatten().tolist()
        ]
        if not any(same for _, same in cosines):
            continue
        order = [same for _, same in sorted(cosines, reverse=True)]
        for k in KS:
            recalls[k].append(any(order[:k]))
        right.append((q, order[0]))
    return {f"r{k}": float(np.mean(hits)) for k, hits in recalls.items()}, right


@pytest.mark.parametrize("scenario", ["retrieval-query", "retrieval-gallery"])
def test_queries_meet_the_gallery(pool, make_embeddings, fixed_model, scenario, score):
    embeddings = make_embeddings(fixed_model, ks=KS)
    result = score(scenario, embeddings)
    sides = (embeddings.attacked(), embeddings.clean())
    expected, right = by_hand(*(sides if scenario == "retrieval-query" else sides[::-1]), pool)
    assert {name: result.metrics[name] for name in expected} == pytest.approx(expected)
    assert {name for name in result.metrics if name[1:].isdigit()} == set(expected)
    assert result.arrays["queries"].tolist() == [q for q, _ in right]
    assert result.arrays["success"].tolist() == [float(hit) for _, hit in right]
    assert 0 not in pool.labels[result.arrays["queries"]]
    assert 0 < expected["r1"] < 1


def test_the_objective_and_the_rescored_r1_are_of_the_same_queries(pool, make_embeddings, fixed_model, score):
    problem = Problem(fixed_model, pool.images, pool.labels, pool.ids, "linf", 0.03, queries=pool.queries)
    attack = ATTACKS.build("pgd_decay[objective=neighbour,steps=5]")
    found = attack.run(problem)
    embeddings = make_embeddings(fixed_model, found.images, attack=attack, objective=found.objective)
    result = score("retrieval-query", embeddings)
    assert np.array_equal(result.arrays["success"] == 1, result.arrays["objective"] < 0)
    assert result.diagnostics["rescored_r1"] == result.metrics["r1"]
    assert 0 < result.metrics["r1"] < 1


@pytest.mark.parametrize("scenario", ["clustering", "verification"])
def test_clustering_and_verification_ignore_the_split(pool, make_embeddings, any_model, scenario, score):
    split, single = (make_embeddings(any_model, queries=queries) for queries in (pool.queries, None))
    assert score(scenario, split).metrics == score(scenario, single).metrics


def test_ranking_rejects_the_split(make_embeddings, fixed_model, score):
    embeddings = make_embeddings(fixed_model, attack=ATTACKS.build("robrank[measure=gtm]"))
    with pytest.raises(BenchmarkError, match="each image queries all others"):
        score("ranking", embeddings)


@pytest.mark.parametrize("split", [True, False])
def test_chance_is_that_of_the_gallery(pool, make_embeddings, fixed_model, split):
    embeddings = make_embeddings(fixed_model, pool.images, queries=pool.queries if split else None)
    queries, gallery = (range(len(pool)),) * 2
    if split:
        queries, gallery = (mask.nonzero().flatten().tolist() for mask in (pool.queries, ~pool.queries))
    hits = [bool(pool.labels[q] == pool.labels[g]) for q in queries for g in gallery if q != g]
    assert diagnose(embeddings, 1)["chance"] == pytest.approx(np.mean(hits))


@pytest.mark.parametrize("split", [True, False])
def test_a_pool_that_is_read_in_batches_gives_the_same_scores(pool, attacked, any_model, split, score):
    queries = pool.queries if split else None
    in_bytes = ImageSet((pool.images * 255).round().to(torch.uint8), pool.labels, pool.ids, pool.queries)
    found = []
    for clean in (in_bytes.batch(slice(None)), in_bytes):
        for images in (attacked, clean):
            embeddings = PoolEmbeddings(
                any_model, clean, images, pool.labels, pool.ids, 2, 16, seed=3, queries=queries, device="cpu",
                attack=None if images is clean else ATTACKS.build("noise"),
            )  # fmt: skip
            scores = [score(name, embeddings) for name in ("retrieval-query", "clustering")]
            found.append([diagnose(embeddings, 2), *((one.metrics, one.diagnostics) for one in scores)])
    assert found[0] == found[2]
    assert found[1] == found[3]
    assert found[0][1] != found[1][1]
