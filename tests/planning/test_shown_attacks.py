"""Which attack of a model is the one whose attacked queries the board shows."""

import pytest

from benchmark.records import CLEAN

from .plans import plan

FIRST, SECOND = "pgd[objective=neighbour]", "fgsm[objective=neighbour]"


def shown(made):
    """Attack and budget of the shown jobs, by the defense of their model."""
    found = {}
    for planned in made.attacks:
        if planned.job.shown:
            found.setdefault(planned.job.key.defense, []).append((planned.job.attack, planned.job.eps))
    return found


def test_of_a_suite_the_first_attack_that_uses_the_model_is_shown(tmp_path):
    made = plan(tmp_path, attacks=["noise", FIRST, SECOND], eps=["0.1"])
    assert {planned.job.attack for planned in made.attacks} >= {CLEAN, "noise", FIRST, SECOND}
    assert shown(made)["vanilla"] == [(FIRST, 0.1)]


def test_each_budget_and_each_model_has_one(tmp_path):
    made = plan(tmp_path, attacks=[FIRST, SECOND], eps=["0.1", "0.2"], defenses="vanilla,pgd_at")
    found = shown(made)
    assert found["vanilla"] == found["pgd_at"] == [(FIRST, 0.1), (FIRST, 0.2)]


@pytest.mark.parametrize(
    "more",
    [
        {"attacks": "noise"},  # uses no model
        {"attacks": FIRST, "scenarios": "clustering"},  # attacks no query
    ],
)
def test_without_an_attack_on_queries_none_is_shown(tmp_path, more):
    assert shown(plan(tmp_path, eps=["0.1"], **more)) == {}


def test_attacks_of_the_checks_and_the_curve_are_not_shown(tmp_path):
    curve = {"attacks": [SECOND], "factors": [0.5]}
    made = plan(tmp_path, attacks="noise", eps=["0.1"], checks=True, curve=curve)
    roles = {planned.role for planned in made.attacks}
    assert {"check", "curve"} <= roles and shown(made) == {}


def test_an_attack_that_follows_others_is_not_shown(tmp_path):
    made = plan(tmp_path, defenses="pgd_at", attacks="cascade", eps=["0.1"])
    jobs = [planned.job for planned in made.attacks if planned.job.key.defense == "pgd_at"]
    (job,) = [job for job in jobs if job.shown]
    assert not job.follows and any(job.follows for job in jobs)
