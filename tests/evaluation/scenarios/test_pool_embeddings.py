"""When pools are embedded, with which draws, and what scores may depend on."""

import pytest
import torch

from benchmark.evaluation import SCENARIOS

USUAL = [name for name in SCENARIOS.names() if not SCENARIOS.get(name).exclusive]


def test_the_scenarios():
    expected = {"clustering", "retrieval-query", "retrieval-gallery", "verification", "ranking"}
    assert set(SCENARIOS.names()) == expected
    assert {name for name in SCENARIOS.names() if SCENARIOS.get(name).exclusive} == {"ranking"}


def test_a_pool_is_embedded_once_for_all_scenarios(
    make_embeddings, pool, attacked, fixed_model, randomised_model, score
):
    n = len(pool)
    for model, images, expected in (
        (fixed_model, attacked, 2 * n),
        (fixed_model, pool.images, n),
        (randomised_model, attacked, (4 + 4) * n),
        (randomised_model, pool.images, 4 * n),
    ):
        embeddings = make_embeddings(model, images)
        model.embedded = 0
        for name in USUAL:
            score(name, embeddings)
            score(name, embeddings)
        assert model.embedded == expected


def test_clean_pools_are_embedded_once(make_embeddings, pool, any_model):
    embeddings = make_embeddings(any_model, pool.images)
    for repeat in range(embeddings.repeats):
        assert embeddings.attacked(repeat) is embeddings.clean(repeat)


def test_the_score_of_a_scenario_does_not_depend_on_the_others(make_embeddings, pool, any_model, score):
    found = {}
    for order in (
        ["clustering", "retrieval-query"],
        ["retrieval-query", "clustering"],
        ["retrieval-gallery", "verification"],
        ["verification", "retrieval-query", "retrieval-gallery"],
        ["retrieval-gallery", "clustering", "verification"],
    ):
        torch.manual_seed(5)
        embeddings = make_embeddings(any_model, pool.images.flip(0), repeats=3)
        for name in order:
            found.setdefault(name, []).append(score(name, embeddings).metrics)
    for results in found.values():
        assert len(results) == 3
        assert results[0] == results[1] == results[2]


def test_the_draws_of_repeats_and_pools_differ_and_follow_the_seed(make_embeddings, pool, randomised_model):
    attacked = pool.images.clone()  # the same pixels, but another pool
    first, same, other = (make_embeddings(randomised_model, attacked, seed=seed) for seed in (1, 1, 2))
    each = [first.clean(0), first.clean(1), first.attacked(0), first.attacked(1), other.clean(0)]
    for i, one in enumerate(each):
        assert not any(torch.equal(one, another) for another in each[:i])
    assert torch.equal(same.attacked(1), first.attacked(1))


def test_images_embedded_again_have_draws_of_their_own(make_embeddings, pool, randomised_model):
    attacked = pool.images.clone()
    first, same, other = (make_embeddings(randomised_model, attacked, seed=seed) for seed in (1, 1, 2))
    each = [
        first.reembed("attacked", 0),
        first.reembed("attacked", 1),
        first.attacked(0),
        first.attacked(1),
        other.reembed("attacked", 0),
    ]
    for i, one in enumerate(each):
        assert not any(torch.equal(one, another) for another in each[:i])
    assert torch.equal(same.reembed("attacked", 1), each[1])


@pytest.mark.parametrize("size", [7, 512])
def test_the_size_of_a_batch_changes_nothing(make_embeddings, pool, fixed_model, size):
    embeddings = make_embeddings(fixed_model, pool.images, batch_size=size)
    with torch.no_grad():
        torch.testing.assert_close(embeddings.clean(), fixed_model(pool.images))
    assert not embeddings.clean().requires_grad


def test_only_changed_images_are_embedded_and_the_others_are_clean(
    make_embeddings, pool, attacked, fixed_model, randomised_model
):
    changed = torch.tensor([1, 4, 6])
    rest = torch.ones(len(pool), dtype=torch.bool)
    rest[changed] = False
    for model in (fixed_model, randomised_model):
        embeddings = make_embeddings(model, attacked, changed=changed)
        for repeat in range(embeddings.repeats):
            clean = embeddings.clean(repeat)
            model.embedded = 0
            for found in (embeddings.attacked(repeat), embeddings.reembed("attacked", repeat)):
                assert torch.equal(found[rest], clean[rest])
                assert not torch.isclose(found[changed], clean[changed]).all(dim=1).any()
            assert model.embedded == 2 * len(changed)
    whole = make_embeddings(fixed_model, attacked)
    few = make_embeddings(fixed_model, attacked, changed=changed)
    assert torch.allclose(few.attacked()[changed], whole.attacked()[changed], atol=1e-6)


def test_only_attacked_queries_have_an_outcome_of_their_own():
    assert {name for name in SCENARIOS.names() if SCENARIOS.get(name).per_query} == {"retrieval-query"}
