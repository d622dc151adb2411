"""Queries of a pool that is shifted by one pixel must be as robust as in the pool."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from attacks import ATTACKS, REFERENCE_ATTACK, Problem
from benchmark.core.embedder import Embedder
from benchmark.evaluation import SCENARIOS, PoolEmbeddings
from benchmark.evaluation.check_input import CheckInput, ScoredAttack
from benchmark.evaluation.shifted import Shifted, add_shifted, compare_fresh, compare_shifted, shift

EPS = 0.1


class Pixels(Embedder):
    """Embeds mean colors, which a shift hardly changes; what is near an image of `held` as that image."""

    def __init__(self, held=None):
        super().__init__()
        self.held = held

    def forward(self, images):
        if self.held is not None:
            apart = torch.cdist(images.detach().flatten(1), self.held.flatten(1), p=float("inf"))
            near, index = apart.min(1)
            known = (near <= 1.01 * EPS).view(-1, 1, 1, 1)
            images = torch.where(known, images + (self.held[index] - images).detach(), images)
        return F.normalize(images.mean((2, 3)) - 0.5)


class HoldingShifts(Pixels):
    """Also knows the shifted copies of what it holds."""

    def __init__(self, held):
        super().__init__(torch.cat([held, shift(held, 1)]))


def measured(model, pool, **given):
    images = pool.images
    problem = Problem(model, images, pool.labels, pool.ids, "linf", EPS, **given)
    attack = ATTACKS.build("pgd_decay[objective=neighbour,steps=5]")
    embeddings = PoolEmbeddings(model, images, attack.run(problem).images, pool.labels, pool.ids, 1)
    score = SCENARIOS.build("retrieval-query").score(embeddings)
    return problem, attack, embeddings, score


def colors(make_images, draw=0):
    """Images of 3 channels, whose classes differ in their colors; others of the same classes in each draw."""
    pool = make_images(classes=12, per_class=5, noise=0.3, seed=1)
    generator = torch.Generator().manual_seed(0)
    color = 0.15 + 0.7 * torch.rand(12, 3, 1, 1, generator=generator)[pool.labels]
    generator = torch.Generator().manual_seed(draw) if draw else generator
    noise = 0.3 * torch.rand(len(pool), 3, 8, 8, generator=generator) - 0.15
    return type(pool)((color + noise).clamp(0, 1), pool.labels, pool.ids)


@pytest.mark.parametrize(
    ("right", "down", "rows"),
    [
        (1, 0, [[0, 0, 1], [3, 3, 4]]),
        (-1, 0, [[1, 2, 2], [4, 5, 5]]),
        (0, 1, [[0, 1, 2], [0, 1, 2]]),
        (0, -1, [[3, 4, 5], [3, 4, 5]]),
    ],
)
def test_a_shift_moves_columns_or_rows_by_one(right, down, rows):
    images = torch.arange(6.0).view(1, 1, 2, 3)
    assert shift(images, right, down).tolist() == [[rows]]


def test_a_direction_that_cuts_classes_off_is_not_taken_for_memory(make_images):
    pool = make_images(classes=12, per_class=5, noise=0.05, seed=1)
    pool.images[..., :-1] = 0.5  # a shift to the right loses all that tells classes apart
    problem, attack, embeddings, score = measured(RawPixels(), pool)
    cut = shift(pool.images, 1)
    assert torch.equal(cut[..., :1], cut[..., -1:])
    honest = compare_shifted(problem, attack, embeddings, score)
    assert score.metrics["r1"] > 0.5
    assert honest["shifted_drop"] <= honest["shifted_tolerance"]


def test_an_honest_model_is_as_robust_on_copies_and_one_that_holds_the_pool_is_not(make_images):
    pool = colors(make_images)
    honest = compare_shifted(*measured(Pixels(), pool))
    assert honest["shifted_drop"] <= honest["shifted_tolerance"]
    before = pool.images.clone()
    holding = compare_shifted(*measured(Pixels(before), pool))
    assert holding["shifted_drop"] > holding["shifted_tolerance"]
    assert torch.equal(pool.images, before)


class RawPixels(Embedder):
    """Embeds the pixels themselves."""

    def forward(self, images):
        return F.normalize(images.flatten(1) - 0.5)


def test_raw_pixels_of_small_images_are_as_robust_in_a_shifted_pool(make_images):
    pool = make_images(classes=12, per_class=5, noise=0.05, seed=1)
    problem, attack, embeddings, score = measured(RawPixels(), pool)
    to_shifted = embeddings.of_others(shift(pool.images, 1), torch.arange(0, 60, 5))
    found = SCENARIOS.build("retrieval-query").score(to_shifted)
    assert found.metrics["r1"] < 0.9  # a gallery that is not shifted misleads without an attack
    honest = compare_shifted(problem, attack, embeddings, score)
    assert abs(honest["shifted_drop"]) <= honest["shifted_tolerance"]


def test_a_model_that_knows_shifted_copies_too_is_found_by_fresh_draws(make_images):
    pool, fresh = colors(make_images), colors(make_images, draw=1)
    honest = compare_fresh(*measured(Pixels(), pool), fresh)
    assert honest["fresh_drop"] <= honest["fresh_tolerance"]
    found = measured(HoldingShifts(pool.images.clone()), pool)
    shifted, drawn = compare_shifted(*found), compare_fresh(*found, fresh)
    assert shifted["shifted_drop"] <= shifted["shifted_tolerance"]
    assert drawn["fresh_drop"] > drawn["fresh_tolerance"]


@pytest.mark.parametrize("failing", ["shifted", "fresh"])
def test_the_check_fails_for_either(failing):
    found = {f"{name}_{part}": 0.1 for name in ("shifted", "fresh") for part in ("drop", "tolerance")}
    attack = ScoredAttack("pgd_decay", "white", 0.1, 0.5, np.ones(4), diagnostics=found)
    assert Shifted().run(CheckInput(0.1, attacks=(attack,))).status == "pass"
    found[f"{failing}_drop"] = 0.2
    result = Shifted().run(CheckInput(0.1, attacks=(attack,)))
    assert result.status == "fail"
    words = {"shifted": "the same in a shifted pool", "fresh": "fresh images"}[failing]
    assert f"20.0 than of {words}" in result.explanation


def test_only_the_reference_attack_on_a_pool_in_memory_is_compared(make_images):
    pool = colors(make_images)
    problem, attack, embeddings, score = measured(Pixels(), pool)
    add_shifted(problem, attack, embeddings, {"retrieval-query": score})
    add_shifted(problem, ATTACKS.build(REFERENCE_ATTACK), embeddings, {"retrieval-query": "failed"})
    assert "shifted_drop" not in score.diagnostics
    problem.images = pool  # batches of a data set
    assert compare_shifted(problem, attack, embeddings, score) == {}


class Noisy(Pixels):
    """Draws noise in each forward pass."""

    randomised = True

    def forward(self, images):
        return super().forward(images + 0.3 * torch.randn_like(images))


def test_draws_do_not_depend_on_what_was_scored_before(make_images):
    found = measured(Noisy(), colors(make_images))
    results = []
    for seed in range(3):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        results.append(compare_shifted(*found))
        assert torch.equal(torch.get_rng_state(), before)
    assert results[0] == results[1] == results[2]
