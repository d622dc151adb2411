import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from attacks import ATTACKS
from benchmark.core.embedder import Embedder
from benchmark.evaluation import SCENARIOS, PoolEmbeddings
from benchmark.metrics import (
    KMEANS_SEEDS,
    cluster,
    mean_clustering_metrics,
    retrieve,
    verification_metrics,
    verification_pairs,
)


class Counting(Embedder):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 6)
        self.seen = 0

    def forward(self, images):
        self.seen += len(images)
        return F.normalize(self.layer(images.flatten(1)))


class Shaky(Counting):
    randomised = True

    def forward(self, images):
        return super().forward(images + 0.3 * torch.randn_like(images))


@pytest.fixture
def pool(make_images):
    return make_images(classes=14, per_class=5, noise=0.3, seed=2)


@pytest.fixture
def make_views(pool):
    def make(model, attacked=None, passes=4, labels=None, **options):
        if attacked is None:
            attacked = (pool.images + 0.2 * torch.randn(pool.images.shape)).clamp(0, 1)
        labels = pool.labels if labels is None else labels
        return PoolEmbeddings(model, pool.images, attacked, labels, pool.ids, passes, **options)

    return make


USUAL = [name for name in SCENARIOS.names() if not SCENARIOS.get(name).exclusive]


def score(name, views):
    return SCENARIOS.build(name).score(views)


def test_the_scenarios():
    expected = {"clustering", "retrieval-query", "retrieval-gallery", "verification", "ranking"}
    assert set(SCENARIOS.names()) == expected
    assert {name for name in SCENARIOS.names() if SCENARIOS.get(name).exclusive} == {"ranking"}


def test_clustering_is_the_mean_over_the_seeds_of_the_attacked_pool(make_views, pool):
    torch.manual_seed(1)
    views = make_views(Counting())
    result = score("clustering", views)
    assignments = cluster(views.attacked(), 14, KMEANS_SEEDS)
    assert result.metrics == mean_clustering_metrics(pool.labels.numpy(), assignments)
    assert set(result.metrics) == {"ami", "nmi", "f1"}
    assert np.array_equal(result.arrays["assignments"], assignments)
    assert np.array_equal(result.arrays["labels"], pool.labels.numpy())
    shown = pool.labels.numpy() < 12
    assert np.array_equal(result.arrays["display_labels"], pool.labels.numpy()[shown])
    np.testing.assert_allclose(result.arrays["display"], views.attacked().numpy()[shown], atol=1e-3)
    assert result.metrics != score("clustering", make_views(Counting(), pool.images)).metrics


def test_some_images_of_some_classes_are_kept_for_pictures(make_images):
    data = make_images(classes=13, per_class=22, shape=(1, 8, 8))
    order = torch.randperm(len(data))
    views = PoolEmbeddings(
        Counting(), data.images[order], data.images[order], data.labels[order], data.ids[order], 1
    )
    arrays = score("clustering", views).arrays
    labels = views.labels.numpy()
    rows = np.concatenate([np.flatnonzero(labels == label)[:20] for label in range(12)])
    assert np.array_equal(arrays["display_labels"], labels[rows])
    np.testing.assert_allclose(arrays["display"], views.attacked().numpy()[rows], atol=1e-3)


def test_retrieval_is_attacked_queries_against_the_clean_gallery(make_views, pool):
    model = Counting()
    views = make_views(model)
    result = score("retrieval-query", views)
    with torch.no_grad():
        clean = model(pool.images)
    outcome = retrieve(views.attacked(), clean, pool.labels, pool.labels, pool.ids, pool.ids)
    assert result.metrics == pytest.approx(outcome.means())
    assert set(result.metrics) == {"r1", "r2", "r4", "r8", "map_r", "r_precision"}
    assert np.array_equal(result.arrays["success"], outcome.recall[1].numpy())
    assert np.array_equal(result.arrays["queries"], np.arange(len(pool)))


def test_gallery_retrieval_is_clean_queries_against_the_attacked_gallery(make_views, pool):
    model = Counting()
    views = make_views(model, pool.images.roll(1, 0))
    result = score("retrieval-gallery", views)
    with torch.no_grad():
        clean = model(pool.images)
    # Each image now shows the one before it, so the first of a class shows another class; none finds itself,
    # since its own id is left out.
    outcome = retrieve(clean, clean.roll(1, 0), pool.labels, pool.labels, pool.ids, pool.ids)
    assert result.metrics == pytest.approx(outcome.means())
    assert np.array_equal(result.arrays["success"], outcome.recall[1].numpy())
    assert np.array_equal(result.arrays["queries"], np.arange(len(pool)))
    assert result.metrics != score("retrieval-query", views).metrics


def test_both_sides_of_retrieval_agree_where_nothing_is_attacked(make_views, pool):
    views = make_views(Counting(), pool.images)
    assert score("retrieval-gallery", views).metrics == score("retrieval-query", views).metrics


@pytest.mark.parametrize("fraction", [0.4, 1])
def test_clustering_of_a_partly_attacked_pool_is_of_the_whole(make_views, pool, fraction):
    views = make_views(Counting())
    assert score(f"clustering[fraction={fraction}]", views).metrics == score("clustering", views).metrics


def test_verification_compares_attacked_images_with_clean_partners(make_views, pool):
    views = make_views(Counting())
    result = score("verification", views)
    pairs = verification_pairs(pool.labels, pool.ids)
    similarity = [float(views.attacked()[i] @ views.clean()[j]) for i, j in enumerate(pairs.partner)]
    assert result.metrics == pytest.approx(verification_metrics(torch.tensor(similarity), pairs.same))
    assert set(result.metrics) == {"eer"}  # 35 negative pairs are too few for a FAR of 1e-2
    np.testing.assert_allclose(result.arrays["similarity"], similarity, atol=1e-6)
    assert np.array_equal(result.arrays["same"], pairs.same.numpy())
    assert 0 < result.metrics["eer"] < 1


def test_verification_of_a_randomised_model_is_the_mean_over_passes(make_views, pool):
    views = make_views(Shaky(), passes=3)
    result = score("verification", views)
    pairs = verification_pairs(pool.labels, pool.ids)
    similarity = [(views.attacked(t) * views.clean(t)[pairs.partner]).sum(1) for t in range(3)]
    figures = [verification_metrics(one, pairs.same)["eer"] for one in similarity]
    assert result.metrics["eer"] == pytest.approx(np.mean(figures))
    assert len(set(figures)) > 1
    np.testing.assert_allclose(result.arrays["similarity"], torch.stack(similarity).mean(0), atol=1e-6)


@pytest.mark.parametrize("constant", [True, False])
def test_verification_counts_equal_embeddings_as_ties(make_images, constant):
    class Constant(Counting):
        def forward(self, images):
            vector = torch.tensor([0.1, 0.7, 0.3]) / np.sqrt(0.59)
            copies = vector.repeat(len(images), 1)
            return copies if constant else F.normalize(copies + images.flatten(1)[:, :3])

    data = make_images(classes=20, per_class=20)
    views = PoolEmbeddings(Constant(), data.images, data.images.clone(), data.labels, data.ids, 1)
    metrics = score("verification", views).metrics
    assert (metrics == {"tar_far_1e2": 0.0, "eer": 1.0}) == constant


@pytest.mark.parametrize("scenario", ["retrieval-query", "retrieval-gallery"])
@pytest.mark.parametrize("model", [Counting, Shaky])
def test_the_mean_success_is_recall_at_1(make_views, pool, model, scenario):
    labels = pool.labels.clone()
    labels[[3, 40]] = torch.tensor([14, 15])  # alone in their classes: left out
    result = score(scenario, make_views(model(), labels=labels))
    success, queries = result.arrays["success"], result.arrays["queries"]
    assert success.shape == queries.shape == (len(pool) - 2,)
    assert not {3, 40} & set(queries.tolist())
    assert float(success.astype(np.float64).mean()) == pytest.approx(result.metrics["r1"], abs=1e-6)
    assert success.min() >= 0 and success.max() <= 1
    assert 0 < result.metrics["r1"] < 1


def test_a_randomised_model_is_scored_over_passes(make_views, pool):
    views = make_views(Shaky(), passes=6)
    result = score("retrieval-query", views)
    outcomes = [
        retrieve(views.attacked(turn), views.clean(turn), pool.labels, pool.labels, pool.ids, pool.ids)
        for turn in range(6)
    ]
    for name, value in result.metrics.items():
        assert value == pytest.approx(np.mean([outcome.means()[name] for outcome in outcomes]))
    expected = np.mean([outcome.recall[1].numpy() for outcome in outcomes], axis=0)
    np.testing.assert_allclose(result.arrays["success"], expected, atol=1e-6)
    assert len(set(result.arrays["success"].tolist())) > 2
    assert len({outcome.means()["map_r"] for outcome in outcomes}) == 6


def test_a_randomised_model_is_clustered_on_a_pass_for_each_seed(make_views, pool):
    views = make_views(Shaky(), passes=20)
    result = score("clustering", views)
    assignments = np.concatenate(
        [cluster(views.attacked(i), 14, [seed]) for i, seed in enumerate(KMEANS_SEEDS)]
    )
    assert np.array_equal(result.arrays["assignments"], assignments)
    assert result.metrics == mean_clustering_metrics(pool.labels.numpy(), assignments)


def test_a_pool_is_embedded_once_for_all_scenarios(make_views, pool):
    n = len(pool)
    for model, attacked, expected in (
        (Counting(), None, 2 * n),
        (Counting(), pool.images, n),
        (Shaky(), None, (4 + 4) * n),
        (Shaky(), pool.images, 4 * n),
    ):
        views = make_views(model, attacked)
        assert model.seen == 0
        for name in USUAL:
            score(name, views)
            score(name, views)
        assert model.seen == expected


def test_clean_figures_share_the_embeddings(make_views, pool):
    for model in (Counting(), Shaky()):
        views = make_views(model, pool.images)
        for turn in range(views.passes):
            assert views.attacked(turn) is views.clean(turn)


@pytest.mark.parametrize("model", [Counting, Shaky])
def test_the_figures_of_a_scenario_do_not_depend_on_what_else_is_scored(make_views, pool, model):
    """A cell's figure must be the same whichever others are made in the same run."""
    model = model()
    attacked = pool.images.flip(0)
    found = {}
    for order in (
        ["clustering", "retrieval-query"],
        ["retrieval-query", "clustering"],
        ["retrieval-gallery", "verification"],
        ["verification", "retrieval-query", "retrieval-gallery"],
        ["retrieval-gallery", "clustering", "verification"],
    ):
        torch.manual_seed(5)
        views = make_views(model, attacked, passes=3)
        for name in order:
            found.setdefault(name, []).append(score(name, views).metrics)
    for results in found.values():
        assert len(results) == 3
        assert results[0] == results[1] == results[2]


def test_the_draws_of_passes_and_pools_differ_and_follow_the_seed(make_views, pool):
    model = Shaky()
    attacked = pool.images.clone()  # the same pixels, but another pool
    views, again, other = (make_views(model, attacked, seed=seed) for seed in (1, 1, 2))
    each = [views.clean(0), views.clean(1), views.attacked(0), views.attacked(1), other.clean(0)]
    for i, first in enumerate(each):
        assert not any(torch.equal(first, second) for second in each[:i])
    assert torch.equal(again.attacked(1), views.attacked(1))


def test_what_is_embedded_once_more_has_draws_of_its_own_in_each_turn(make_views, pool):
    model, attacked = Shaky(), pool.images.clone()
    views, same, other = (make_views(model, attacked, seed=seed) for seed in (1, 1, 2))
    each = [views.again(0), views.again(1), views.attacked(0), views.attacked(1), other.again(0)]
    for i, first in enumerate(each):
        assert not any(torch.equal(first, second) for second in each[:i])
    assert torch.equal(same.again(1), each[1])


@pytest.mark.parametrize("model", [Counting, Shaky])
def test_r1_is_scored_once_more_over_as_many_passes(make_views, pool, model):
    views = make_views(model(), passes=6, attack=ATTACKS.build("noise"))
    expected = [
        retrieve(views.again(t), views.clean(t), pool.labels, pool.labels, pool.ids, pool.ids).means()["r1"]
        for t in range(views.passes)
    ]
    result = score("retrieval-query", views)
    assert result.diagnostics["rescored_r1"] == pytest.approx(np.mean(expected))
    if model is Counting:
        assert result.diagnostics == {"rescored_r1": result.metrics["r1"]}
        return
    assert len(set(expected)) > 1
    once = score("retrieval-query", make_views(model(), passes=1, attack=ATTACKS.build("noise")))
    assert not once.diagnostics  # nobody would know how far off one pass may be
    first = [
        retrieve(views.attacked(t), views.clean(t), pool.labels, pool.labels, pool.ids, pool.ids).means()[
            "r1"
        ]
        for t in range(6)
    ]
    assert result.diagnostics["rescored_passes"] == 6
    spread = np.std(np.subtract(expected, first), ddof=1)
    assert result.diagnostics["rescored_error"] == pytest.approx(spread / 6**0.5)


def test_the_size_of_a_batch_changes_nothing(make_views, pool):
    model = Counting()
    for views in (make_views(model, pool.images, batch_size=size) for size in (7, 512)):
        with torch.no_grad():
            torch.testing.assert_close(views.clean(), model(pool.images))
        assert not views.clean().requires_grad
