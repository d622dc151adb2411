import pytest
import torch

from attacks import ATTACKS
from benchmark.evaluation.agreement import disagreement

NEIGHBOUR = "pgd[objective=neighbour]"


class Embeddings:
    """What `disagreement` reads of a pool."""

    def __init__(self, values, attack=NEIGHBOUR, randomised=False, repeats=1):
        self.objective_of_each = None if values is None else torch.tensor(values)
        self.attack = None if attack is None else ATTACKS.build(attack)
        self.randomised, self.repeats = randomised, repeats


def compare(values, success, queries=None, **options):
    queries = torch.arange(len(success)) if queries is None else torch.tensor(queries)
    return disagreement(Embeddings(values, **options), queries, torch.tensor(success))


def test_the_margin_is_above_0_where_the_query_is_defeated():
    assert compare([-0.1, 0.1, -0.2], [1.0, 0, 1]) == {"disagreement": 0, "compared_queries": 3}
    assert compare([-0.1, 0.1, -0.2, 1], [0.0, 0, 1, 1]) == {"disagreement": 0.5, "compared_queries": 4}


def test_only_queries_that_were_attacked_and_scored_are_compared():
    nan = float("nan")
    assert compare([nan, 0.1, 1, -0.2], [0.0, 0, 0], queries=[0, 1, 3]) == {
        "disagreement": 0.5,
        "compared_queries": 2,
    }
    assert compare([nan, nan], [1.0, 0]) == {}


def test_margins_at_zero_are_left_out():
    assert compare([5e-5, -5e-5, 0.1], [1.0, 0, 0]) == {"disagreement": 0, "compared_queries": 1}


@pytest.mark.parametrize("attack", [None, "noise", "pgd[objective=own]"])
def test_other_objectives_are_no_margins(attack):
    assert compare([1.0, 1], [1.0, 1], attack=attack) == {}


def test_a_transferred_attack_has_the_margins_of_the_attacked_model():
    assert compare([1.0], [1.0], attack=f"transfer[attack={NEIGHBOUR}]")["disagreement"] == 1


def test_values_are_of_the_attacks_own_objective_and_not_of_that_which_it_starts_from():
    assert compare([1.0], [1.0], attack=f"square[objective=own,start={NEIGHBOUR}]") == {}
    own = f"square[objective=neighbour,start={NEIGHBOUR.replace('neighbour', 'own')}]"
    assert compare([1.0], [1.0], attack=own)["disagreement"] == 1


def test_without_values_nothing_is_compared():
    assert compare(None, [1.0]) == {}


def test_of_a_randomised_model_only_certain_outcomes_are_compared():
    found = compare([0.1, -0.1, 0.1, -0.1], [0.5, 0.9, 0.0, 0.0], randomised=True, repeats=10)
    assert found == {"disagreement": 0.5, "compared_queries": 2}
    assert compare([0.1], [1.0], randomised=True, repeats=9) == {}
