"""Worst cases of randomised models: minima of means over few repeats."""

from itertools import permutations
from types import SimpleNamespace

import numpy as np
import pytest

from benchmark.report.worst_case import worst_queries

QUERIES, REPEATS = 2000, 20


class Arrays:
    """A run that holds the arrays of cells."""

    def __init__(self, *arrays):
        self.cells = [
            SimpleNamespace(ref=SimpleNamespace(id=i), done=True, record=None) for i in range(len(arrays))
        ]
        self._arrays = arrays

    def arrays(self, cell):
        return self._arrays[cell.ref.id]


def outcomes(generator, probability):
    """The arrays of an attack that leaves each query right with a probability, shape (q,)."""
    right = generator.random((REPEATS, len(probability))) < probability
    halves = np.stack([right[first::2].mean(axis=0) for first in (0, 1)])
    return {"success": right.mean(axis=0).astype(np.float32), "halves": halves.astype(np.float32)}


def without_halves(arrays):
    return {name: array for name, array in arrays.items() if name != "halves"}


def worst(*arrays, **options):
    run = Arrays(*arrays)
    return worst_queries(run, run.cells, **options)


def test_the_worst_case_over_equal_attacks_has_no_bias():
    generator = np.random.default_rng(0)
    probability = generator.random(QUERIES)
    found = [outcomes(generator, probability) for _ in range(8)]
    error = worst(*found) - probability
    assert abs(error.mean()) < 3 * error.std() / np.sqrt(QUERIES)
    biased = worst(*map(without_halves, found)) - probability
    assert biased.mean() < -0.1


def test_a_better_attack_is_chosen():
    generator = np.random.default_rng(0)
    strong, weak = (outcomes(generator, np.full(QUERIES, p)) for p in (0.1, 0.9))
    assert worst(weak, strong).mean() == pytest.approx(strong["halves"].mean(), abs=1e-6)
    assert np.array_equal(worst(strong, weak), worst(weak, strong))


def test_of_attacks_that_are_equal_on_a_query_the_worst_over_all_queries_is_chosen():
    """With one repeat in a half, the clean image is as bad as any attack for every query that it fails."""
    generator = np.random.default_rng(0)
    draws = {p: (generator.random((2, QUERIES)) < p).astype(np.float32) for p in (0.55, 0.5, 0.2)}
    clean, weak, strong = ({"success": one.mean(axis=0), "halves": one} for one in draws.values())
    for order in permutations((clean, weak, strong)):
        assert worst(*order).mean() == pytest.approx(0.2, abs=0.02)  # the first listed would leave 0.4


def test_no_attack_alone_is_below_the_worst_case():
    generator = np.random.default_rng(0)
    noisy = [outcomes(generator, np.full(QUERIES, p)) for p in (0.5, 0.48, 0.3)]
    best = {"success": np.full(QUERIES, 0.29), "halves": np.tile([[0.0, 0.58]], (2, QUERIES // 2))}
    for found in (noisy, [*noisy, best]):
        assert worst(*found).mean() <= min(one["success"].mean() for one in found)
    follows = {**best, "own": best["success"], "success": np.zeros(QUERIES), "before": np.ones(QUERIES)}
    assert worst(*noisy, follows).mean() > 0.1  # what others had defeated before is not its own


def test_each_half_is_scored_where_the_other_chose():
    first = {"success": np.array([0.5, 0, 1]), "halves": np.array([[0.0, 0, 1], [1.0, 0, 1]])}
    second = {"success": np.array([0.5, 1, 0]), "halves": np.array([[0.4, 1, 0], [0.6, 1, 0]])}
    # By the first half the first attack is worse, and scores 1; by the second the second, and scores 0.4.
    assert worst(first, second).tolist() == [0.7, 0, 0]


def test_without_the_halves_of_every_cell_the_minimum_is_taken():
    generator = np.random.default_rng(0)
    one, two = (outcomes(generator, np.full(50, 0.5)) for _ in range(2))
    expected = np.minimum(one["success"], two["success"])
    assert np.allclose(worst(one, without_halves(two)), expected)
    assert np.allclose(worst(without_halves(one), two), expected)


def test_an_attack_that_was_left_out_counts_for_nothing():
    one = {"success": np.array([0.5]), "halves": np.array([[0.4], [0.6]])}
    out = {"success": np.array([0.3]), "before": np.array([0.3]), "own": np.array([0.3])}
    run = Arrays(one, out)
    run.cells[1].record = SimpleNamespace(attacked_queries=0)
    assert worst_queries(run, run.cells).tolist() == [0.5]


def test_alone_an_attack_that_follows_others_spares_those_that_fell_before():
    halves = np.array([[0.4, 0.2], [0.6, 0.2]])
    follows = {"success": np.array([0.0, 0.2]), "before": np.array([0, 1.0]), "own": np.array([0.5, 0.2])}
    assert worst({**follows, "halves": halves}, own=True).tolist() == [1, 0.2]
