import pytest
import torch
import torch.nn.functional as F

from attacks import ATTACKS, MEASURES, Problem
from benchmark.core.errors import BenchmarkError
from benchmark.evaluation import SCENARIOS


@pytest.fixture
def embed(make_embeddings):
    """Embeds the pool as attacked by the attack of a spec."""
    return lambda model, attack, **options: make_embeddings(model, attack=ATTACKS.build(attack), **options)


@pytest.mark.parametrize("name", MEASURES.names())
def test_the_metrics_are_the_measure_on_the_attacked_pool(name, embed, pool, fixed_model, score):
    embeddings = embed(fixed_model, f"robrank[measure={name}]")
    measure = MEASURES.build(name)
    clean, labels = embeddings.clean(), pool.labels
    targets = measure.targets(clean, labels, pool.ids)
    expected = measure.scores(clean, embeddings.attacked(), labels, targets)
    constant = torch.ones(len(pool), 3)
    of_constant = measure.scores(constant, constant, labels, targets)
    expected |= {f"constant_{key}": value for key, value in of_constant.items()}
    result = score("ranking", embeddings)
    assert result.metrics == pytest.approx(expected)
    assert not result.arrays


def test_the_attack_and_the_scenario_use_the_same_targets(embed, pool, fixed_model):
    problem = Problem(fixed_model, pool.images, pool.labels, pool.ids, "linf", 0.1, seed=3, batch_size=7)
    embeddings = embed(fixed_model, "robrank[measure=qa_minus]")
    measure = MEASURES.build("qa_minus")
    drawn = measure.targets(problem.clean, problem.labels, problem.ids)
    assert torch.equal(drawn, measure.targets(embeddings.clean(), embeddings.labels, embeddings.ids))


def test_repeats_of_a_randomised_model_share_targets(embed, pool, randomised_model, score):
    embeddings = embed(randomised_model, "robrank[measure=qa_plus]", repeats=3)
    measure = MEASURES.build("qa_plus")
    mean = F.normalize(sum(embeddings.clean(repeat) for repeat in range(3)))
    targets = measure.targets(mean, pool.labels, pool.ids)
    each = [
        measure.scores(embeddings.clean(repeat), embeddings.attacked(repeat), pool.labels, targets)["qa_plus"]
        for repeat in range(3)
    ]
    assert len(set(each)) > 1
    assert score("ranking", embeddings).metrics["qa_plus"] == pytest.approx(sum(each) / 3)


def test_other_attacks_are_rejected(embed, make_embeddings, fixed_model, score):
    with pytest.raises(BenchmarkError, match="only attacks made for it, not noise"):
        score("ranking", embed(fixed_model, "noise"))
    with pytest.raises(BenchmarkError, match="only attacks made for it, not clean images"):
        score("ranking", make_embeddings(fixed_model))


def test_two_images_of_one_id_are_rejected(embed, pool, fixed_model, score):
    ids = pool.ids.clone()
    ids[4] = ids[9]
    with pytest.raises(BenchmarkError, match="two images of one id"):
        score("ranking", embed(fixed_model, "robrank", ids=ids))


def test_it_scores_only_attacks_that_name_it():
    assert SCENARIOS.get("ranking").exclusive
    assert ATTACKS.build("robrank").scenarios == ("ranking",)
