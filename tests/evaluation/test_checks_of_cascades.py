"""The checks on attacks that were made only on the queries that still stood."""

import numpy as np
import pytest

from benchmark.core.errors import BenchmarkError
from benchmark.evaluation import CHECKS, CheckInput, ScoredAttack, ScoredClean

N, EPS = 1000, 0.1
WHITE, TWICE, SQUARE = "pgd[objective=neighbour]", "pgd[objective=neighbour,steps=40]", "square"


def first(count):
    """Successes, the first `count` of them 1."""
    return (np.arange(N) < count).astype(np.float32)


def whole(attack=WHITE, count=500, access="white", **more):
    success = first(count)
    return ScoredAttack(
        attack, access, EPS, float(success.mean()), success, objective="neighbour", steps=20, **more
    )


def follower(attack, before, left, access="black", **more):
    """Attacks the first `before` queries, of which the first `left` stand after it; the others are clean."""
    success = first(left)
    own = np.where(first(before) > 0, success, np.float32(1))
    options = {"objective": "neighbour", "steps": None, **more}
    return ScoredAttack(
        attack, access, EPS, float(success.mean()), success, before=first(before), own=own, **options
    )


def run(name, *attacks, **more):
    clean = ScoredClean(0.9, first(900))
    return CHECKS.build(name).run(CheckInput(EPS, 1.0, {}, clean, attacks, **more))


@pytest.mark.parametrize("name", ["black_box_beats_white_box", "transfer_beats_white_box"])
@pytest.mark.parametrize(("left", "status"), [(500, "pass"), (490, "pass"), (300, "fail")])
def test_another_access_is_decided_on_what_the_white_box_left(name, left, status):
    other = follower(SQUARE, 500, left, access=name.split("_")[0])
    result = run(name, whole(count=600), other)
    assert result.status == status
    assert result.value == pytest.approx((500 - left) / N)
    assert "50.0 before it under the white box" in result.explanation


def test_what_defeated_all_its_queries_counts_though_the_best_of_others_did_too():
    weak, strong = follower(SQUARE, 500, 490), follower("square[queries=9]", 500, 100)
    result = run("black_box_beats_white_box", whole(), weak, strong)
    assert (result.status, "square[queries=9]" in result.explanation) == ("fail", True)


def test_another_access_needs_an_attack_of_the_white_box():
    assert run("black_box_beats_white_box", follower(SQUARE, 500, 100)).status == "not run"


@pytest.mark.parametrize(("left", "status"), [(485, "pass"), (470, "fail")])
def test_twice_the_steps_are_compared_at_the_queries_that_stood(left, status):
    single = whole(doubled_steps=TWICE)
    double = follower(TWICE, 500, left, access="white", steps=40)
    assert run("not_converged", single, double).status == status


def test_many_steps_on_what_stood_do_not_hide_that_one_step_is_stronger():
    one = whole("fgsm[objective=neighbour]", 300)
    one = ScoredAttack(**{**vars(one), "steps": 1})
    lower = follower(TWICE, 500, 100, access="white", steps=40)  # with all that came before it
    assert run("one_step_beats_many", one, whole(), lower).status == "fail"


@pytest.mark.parametrize(("left", "status"), [(500, "pass"), (300, "fail")])
def test_an_attack_outside_the_suite_is_compared_at_the_queries_that_it_attacked(left, status):
    outside = follower(TWICE, 600, left, access="white", steps=40)
    result = run("suite_too_weak", whole(in_suite=True), outside)
    assert result.status == status


def test_images_embedded_again_are_compared_with_the_same_pool():
    own = {"rescored_r1": 0.8, "mixed_r1": 0.8}
    assert run("rescored", follower(SQUARE, 500, 300, diagnostics=own)).status == "pass"
    other = {"rescored_r1": 0.7, "mixed_r1": 0.8}
    assert run("rescored", follower(SQUARE, 500, 300, diagnostics=other)).status == "fail"


def test_different_queries_cannot_be_compared():
    with pytest.raises(BenchmarkError, match="on 7 and on 1000 queries"):
        follower(SQUARE, 500, 300).gain_over(np.ones(7, np.float32))
