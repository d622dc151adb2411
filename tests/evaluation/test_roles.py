"""Scenarios of a pool whose queries and gallery are two sets of images."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from attacks import ATTACKS, Problem
from benchmark.core.embedder import Embedder
from benchmark.core.errors import BenchmarkError
from benchmark.data import ImageSet
from benchmark.evaluation import SCENARIOS, PoolEmbeddings, diagnose

KS = (1, 3, 5)


class Plain(Embedder):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 6)

    def forward(self, images):
        return F.normalize(self.layer(images.flatten(1)))


class Shaky(Plain):
    randomised = True

    def forward(self, images):
        return super().forward(images + 0.3 * torch.randn_like(images))


@pytest.fixture
def pool(make_images):
    data = make_images(classes=14, per_class=5, noise=0.3, seed=2)
    queries = torch.rand(len(data)) < 0.4
    queries[:5], queries[5:10] = True, False  # class 0 is not in the gallery, class 1 not asked for
    return ImageSet(data.images, data.labels, data.ids, queries)


@pytest.fixture
def attacked(pool):
    return (pool.images + 0.2 * torch.randn(pool.images.shape)).clamp(0, 1)


def views_of(model, pool, attacked, **options):
    options.setdefault("queries", pool.queries)
    return PoolEmbeddings(model, pool.images, attacked, pool.labels, pool.ids, 3, ks=KS, **options)


def by_hand(asking, stored, pool):
    """R@K by name, and for each query with a positive its index and whether it was right at 1."""
    recalls, right = {k: [] for k in KS}, []
    for q in pool.queries.nonzero().flatten().tolist():
        cosines = [
            (float(asking[q] @ stored[g]), bool(pool.labels[g] == pool.labels[q]))
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
def test_retrieval_is_queries_against_the_gallery(pool, attacked, scenario):
    views = views_of(Plain(), pool, attacked)
    result = SCENARIOS.build(scenario).score(views)
    sides = (views.attacked(), views.clean())
    expected, right = by_hand(*(sides if scenario == "retrieval-query" else sides[::-1]), pool)
    assert {name: result.metrics[name] for name in expected} == pytest.approx(expected)
    assert {name for name in result.metrics if name[1:].isdigit()} == set(expected)
    assert result.arrays["queries"].tolist() == [q for q, _ in right]
    assert result.arrays["success"].tolist() == [float(hit) for _, hit in right]
    assert 0 not in pool.labels[result.arrays["queries"]]
    assert 0 < expected["r1"] < 1


def test_the_objective_and_the_second_look_are_of_the_same_queries(pool):
    model = Plain().eval()
    problem = Problem(model, pool.images, pool.labels, pool.ids, "linf", 0.03, queries=pool.queries)
    attack = ATTACKS.build("pgd_decay[objective=neighbour,steps=5]")
    outcome = attack.run(problem)
    views = views_of(model, pool, outcome.images, attack=attack, objective=outcome.objective)
    result = SCENARIOS.build("retrieval-query").score(views)
    assert np.array_equal(result.arrays["success"] == 1, result.arrays["objective"] < 0)
    assert result.diagnostics["rescored_r1"] == result.metrics["r1"]
    assert 0 < result.metrics["r1"] < 1


@pytest.mark.parametrize("model", [Plain, Shaky])
def test_clustering_and_verification_know_one_pool(pool, attacked, model):
    model = model()
    for scenario in ("clustering", "verification"):
        each = [
            SCENARIOS.build(scenario).score(views_of(model, pool, attacked, queries=queries)).metrics
            for queries in (pool.queries, None)
        ]
        assert each[0] == each[1]


def test_ranking_refuses_such_a_pool(pool, attacked):
    views = views_of(Plain(), pool, attacked, attack=ATTACKS.build("robrank[measure=gtm]"))
    with pytest.raises(BenchmarkError, match="each image queries all others"):
        SCENARIOS.build("ranking").score(views)


def test_chance_is_that_of_the_gallery(pool):
    for queries in (pool.queries, None):
        views = views_of(Plain(), pool, pool.images, queries=queries)
        asking, stored = (range(len(pool)),) * 2
        if queries is not None:
            asking, stored = ((of.nonzero().flatten().tolist()) for of in (queries, ~queries))
        hits = [bool(pool.labels[q] == pool.labels[g]) for q in asking for g in stored if q != g]
        assert diagnose(views, 1)["chance"] == pytest.approx(np.mean(hits))


@pytest.mark.parametrize("model", [Plain, Shaky])
@pytest.mark.parametrize("roles", [True, False])
def test_a_pool_in_a_store_gives_the_same_figures(pool, attacked, model, roles):
    model = model().eval()
    queries = pool.queries if roles else None
    bytes_ = ImageSet((pool.images * 255).round().to(torch.uint8), pool.labels, pool.ids, pool.queries)
    found = []
    for clean in (bytes_.batch(slice(None)), bytes_):
        for moved in (attacked, clean):
            views = PoolEmbeddings(
                model, clean, moved, pool.labels, pool.ids, 2, 16, seed=3, queries=queries, device="cpu",
                attack=None if moved is clean else ATTACKS.build("noise"),
            )  # fmt: skip
            scores = [SCENARIOS.build(name).score(views) for name in ("retrieval-query", "clustering")]
            found.append([diagnose(views, 2), *((score.metrics, score.diagnostics) for score in scores)])
    assert found[0] == found[2]
    assert found[1] == found[3]
    assert found[0][1] != found[1][1]
