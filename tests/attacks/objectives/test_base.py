import pytest

from attacks import OBJECTIVES, Objective, PooledScore
from benchmark.core.errors import AttackError


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_pooled_objectives_have_pooled_scores(name, problem):
    score = OBJECTIVES.build(name).bind(problem)
    assert isinstance(score, PooledScore) == OBJECTIVES.get(name).pooled


def test_a_pooled_objective_without_observe_raises(problem):
    class Unobserving(Objective):
        pooled = True

        def bind(self, problem):
            return lambda embeddings, index: embeddings.sum(1)

    Unobserving.name = "unobserving"
    with pytest.raises(AttackError, match="unobserving is declared as pooled, but its score has no method"):
        Unobserving().bind_pooled(problem)
