import numpy as np
import pytest
import torch

from attacks import ATTACKS, Problem
from benchmark.metrics import retrieve


def retrieve_in(pool, queries, gallery):
    return retrieve(queries, gallery, pool.labels, pool.labels, pool.ids, pool.ids)


def test_attacked_queries_meet_the_clean_gallery(make_embeddings, pool, fixed_model, score):
    embeddings = make_embeddings(fixed_model)
    result = score("retrieval-query", embeddings)
    with torch.no_grad():
        clean = fixed_model(pool.images)
    expected = retrieve_in(pool, embeddings.attacked(), clean)
    assert result.metrics == pytest.approx(expected.means())
    assert set(result.metrics) == {"r1", "r2", "r4", "r8", "map_r", "r_precision"}
    assert np.array_equal(result.arrays["success"], expected.recall[1].numpy())
    assert np.array_equal(result.arrays["queries"], np.arange(len(pool)))


def test_clean_queries_meet_the_attacked_gallery(make_embeddings, pool, fixed_model, score):
    embeddings = make_embeddings(fixed_model, pool.images.roll(1, 0))
    result = score("retrieval-gallery", embeddings)
    with torch.no_grad():
        clean = fixed_model(pool.images)
    # Each image now shows the one before it, so the first of a class shows another class; none finds itself,
    # since its own id is excluded.
    expected = retrieve_in(pool, clean, clean.roll(1, 0))
    assert result.metrics == pytest.approx(expected.means())
    assert np.array_equal(result.arrays["success"], expected.recall[1].numpy())
    assert np.array_equal(result.arrays["queries"], np.arange(len(pool)))
    assert result.metrics != score("retrieval-query", embeddings).metrics


def test_both_scenarios_agree_where_nothing_is_attacked(make_embeddings, pool, fixed_model, score):
    embeddings = make_embeddings(fixed_model, pool.images)
    assert score("retrieval-gallery", embeddings).metrics == score("retrieval-query", embeddings).metrics


@pytest.mark.parametrize("scenario", ["retrieval-query", "retrieval-gallery"])
def test_the_mean_success_is_recall_at_1(make_embeddings, pool, any_model, scenario, score):
    labels = pool.labels.clone()
    labels[[3, 40]] = torch.tensor([14, 15])  # alone in their classes: excluded
    result = score(scenario, make_embeddings(any_model, labels=labels))
    success, queries = result.arrays["success"], result.arrays["queries"]
    assert success.shape == queries.shape == (len(pool) - 2,)
    assert not {3, 40} & set(queries.tolist())
    assert float(success.astype(np.float64).mean()) == pytest.approx(result.metrics["r1"], abs=1e-6)
    assert success.min() >= 0 and success.max() <= 1
    assert 0 < result.metrics["r1"] < 1


def test_scores_of_a_randomised_model_are_means_over_repeats(make_embeddings, pool, randomised_model, score):
    embeddings = make_embeddings(randomised_model, repeats=6)
    result = score("retrieval-query", embeddings)
    each = [retrieve_in(pool, embeddings.attacked(repeat), embeddings.clean(repeat)) for repeat in range(6)]
    for name, value in result.metrics.items():
        assert value == pytest.approx(np.mean([one.means()[name] for one in each]))
    expected = np.mean([one.recall[1].numpy() for one in each], axis=0)
    np.testing.assert_allclose(result.arrays["success"], expected, atol=1e-6)
    assert len(set(result.arrays["success"].tolist())) > 2
    assert len({one.means()["map_r"] for one in each}) == 6


def test_a_randomised_model_has_the_success_of_both_halves_of_its_repeats(
    make_embeddings, pool, randomised_model, fixed_model, score
):
    embeddings = make_embeddings(randomised_model, repeats=5)
    arrays = score("retrieval-query", embeddings).arrays
    each = [retrieve_in(pool, embeddings.attacked(repeat), embeddings.clean(repeat)) for repeat in range(5)]
    right = np.stack([one.recall[1].numpy() for one in each])
    np.testing.assert_allclose(arrays["halves"], [right[[0, 2, 4]].mean(0), right[[1, 3]].mean(0)], atol=1e-6)
    assert "halves" not in score("retrieval-query", make_embeddings(randomised_model, repeats=1)).arrays
    assert "halves" not in score("retrieval-query", make_embeddings(fixed_model)).arrays


@pytest.mark.parametrize("changed", [None, [1, 4, 30]])
def test_outcomes_are_compared_with_the_attacks_margins(
    make_embeddings, pool, attacked, fixed_model, score, changed
):
    attack = ATTACKS.build("pgd[objective=neighbour,steps=3]")
    changed = None if changed is None else torch.tensor(changed)
    problem = Problem(fixed_model, pool.images, pool.labels, pool.ids, "linf", 0.1, attacked=changed)
    result = attack.run(problem)
    for sign, expected in ((1, 0.0), (-1, 1.0)):
        embeddings = make_embeddings(
            fixed_model, result.images, attack=attack, objective=sign * result.objective, changed=changed
        )
        found = score("retrieval-query", embeddings)
        assert found.diagnostics["disagreement"] == expected
        assert found.diagnostics["compared_queries"] == (len(pool) if changed is None else 3)
        assert ("objective" in found.arrays) == (changed is None)


def r1_of_each_repeat(pool, embeddings, embed):
    return [
        retrieve_in(pool, embed(repeat), embeddings.clean(repeat)).means()["r1"]
        for repeat in range(embeddings.repeats)
    ]


def test_attacked_images_of_a_fixed_model_are_scored_again(make_embeddings, fixed_model, score):
    result = score("retrieval-query", make_embeddings(fixed_model, attack=ATTACKS.build("noise")))
    assert result.diagnostics["rescored_r1"] == result.metrics["r1"]
    assert result.diagnostics["rescored_difference"] < result.diagnostics["rescored_allowed"] == 1e-4


def test_attacked_images_of_a_randomised_model_are_scored_again_in_each_repeat(
    make_embeddings, pool, randomised_model, score
):
    embeddings = make_embeddings(randomised_model, repeats=6, attack=ATTACKS.build("noise"))
    diagnostics = score("retrieval-query", embeddings).diagnostics
    rescored = r1_of_each_repeat(pool, embeddings, lambda repeat: embeddings.reembed("attacked", repeat))
    assert len(set(rescored)) > 1
    assert diagnostics["rescored_r1"] == pytest.approx(np.mean(rescored))
    assert diagnostics["rescored_passes"] == 6
    differences = np.subtract(rescored, r1_of_each_repeat(pool, embeddings, embeddings.attacked))
    assert diagnostics["rescored_error"] == pytest.approx(np.std(differences, ddof=1) / 6**0.5)


def test_a_single_repeat_of_a_randomised_model_is_not_scored_again(make_embeddings, randomised_model, score):
    embeddings = make_embeddings(randomised_model, repeats=1, attack=ATTACKS.build("noise"))
    assert not score("retrieval-query", embeddings).diagnostics  # its standard error would be unknown
