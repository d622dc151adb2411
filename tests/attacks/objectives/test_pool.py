import pytest
import torch

from attacks import OBJECTIVES


def pool_by_hand(bank, labels, z, i, neighbours):
    own = [float(z @ b) for j, b in enumerate(bank) if labels[j] == labels[i] and j != i]
    others = sorted((float(z @ b) for j, b in enumerate(bank) if labels[j] != labels[i]), reverse=True)[
        :neighbours
    ]
    return sum(others) / len(others) - (sum(own) / len(own) if own else 0.0)


@pytest.mark.parametrize("neighbours", [1, 3, 5])
def test_pool_uses_the_latest_embeddings(problem, moved, neighbours):
    score = OBJECTIVES.build(f"pool[neighbours={neighbours}]").bind(problem)
    bank = problem.clean.clone()
    for observed in ([], [4, 0, 9], range(10)):
        score.observe(torch.tensor(list(observed), dtype=torch.long), moved[list(observed)])
        bank[list(observed)] = moved[list(observed)]
        expected = [pool_by_hand(bank, problem.labels, z, i, neighbours) for i, z in enumerate(problem.clean)]
        assert score(problem.clean, problem.all_indices).tolist() == pytest.approx(expected)


def test_pool_uses_no_more_neighbours_than_every_class_has(problem, moved):
    score = OBJECTIVES.build("pool[neighbours=100]").bind(problem)
    expected = [pool_by_hand(problem.clean, problem.labels, z, i, 10 - 4) for i, z in enumerate(moved)]
    assert score(moved, problem.all_indices).tolist() == pytest.approx(expected)


def test_what_a_pool_score_observes_stays_its_own(problem, moved):
    before = problem.clean.clone()
    score = OBJECTIVES.build("pool").bind(problem)
    score.observe(problem.all_indices, moved.requires_grad_(True))
    assert torch.equal(problem.clean, before)
    assert not score.bank.requires_grad
    assert not torch.equal(OBJECTIVES.build("pool").bind(problem).bank, score.bank)
