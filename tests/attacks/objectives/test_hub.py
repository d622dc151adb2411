import pytest
import torch

from attacks import OBJECTIVES, Problem
from attacks.objectives.hub import target_queries
from benchmark.core.embedder import Embedder


def drawn_for(problem, count, near=False):
    """The target queries of every image, all of which are queries."""
    every = problem.all_indices
    return target_queries(problem.clean, problem.labels, problem.ids, every, count, near, 0)


def test_hub_is_the_mean_cosine_to_drawn_queries_of_other_classes(problem, moved):
    score = OBJECTIVES.build("hub[queries=2]").bind(problem)
    drawn = drawn_for(problem, 2)
    assert drawn.shape == (10, 2) and (problem.labels[drawn] != problem.labels.unsqueeze(1)).all()
    expected = [sum(float(moved[i] @ problem.clean[j]) for j in drawn[i]) / 2 for i in range(10)]
    assert score(moved, problem.all_indices).tolist() == pytest.approx(expected)
    other = OBJECTIVES.build("hub[queries=2,seed=1]").bind(problem)
    assert not torch.allclose(other(moved, problem.all_indices), score(moved, problem.all_indices))


def test_a_hub_has_no_more_targets_than_there_are_queries_of_other_classes(problem):
    drawn = drawn_for(problem, 100)
    assert drawn.shape == (10, 6)  # the largest class has four of the ten
    assert all(len(set(row)) == 6 for row in drawn.tolist())


def test_near_targets_are_the_nearest_queries_of_other_classes(problem):
    found = drawn_for(problem, 3, near=True)
    for i in range(10):
        foreign = [j for j in range(10) if problem.labels[j] != problem.labels[i]]
        expected = sorted(foreign, key=lambda j: -float(problem.clean[i] @ problem.clean[j]))[:3]
        assert found[i].tolist() == expected


def test_draws_depend_on_ids_and_not_on_the_order_of_the_pool(problem):
    order = torch.randperm(10)
    straight = drawn_for(problem, 3)
    mixed = target_queries(
        problem.clean[order], problem.labels[order], problem.ids[order], problem.all_indices, 3, False, 0
    )
    assert torch.equal(order[mixed], straight[order])


def test_targets_are_queries_where_a_data_set_has_a_list_of_them(problem_of):
    problem = problem_of(torch.eye(10, dtype=torch.float64))
    queries = torch.zeros(10, dtype=torch.bool)
    queries[[0, 1, 2, 7]] = True
    split = Problem(Embedder(), problem.images, problem.labels, problem.ids, "linf", 0.1, queries=queries)
    split.clean = problem.clean
    values = OBJECTIVES.build("hub").bind(split)(torch.eye(10, dtype=torch.float64), split.all_indices)
    # Image 3 is no query: it is moved towards queries only, and nothing towards it.
    assert values[~queries].tolist() == [0.0] * 6
    assert OBJECTIVES.get("hub").scenarios == ("retrieval-gallery",)
