import numpy as np
import pytest

from benchmark.evaluation import CHECKS, CheckInput, ScoredAttack

EPS = 0.1


def scored(diagnostics=(), access="white", eps=EPS):
    success = np.ones(100)
    return ScoredAttack("a", access, eps, 1.0, success, objective="neighbour", diagnostics=dict(diagnostics))


def run(name, *attacks, **model):
    return CHECKS.build(name).run(CheckInput(EPS, model=model, attacks=attacks))


@pytest.mark.parametrize(
    ("correlation", "ratio", "stand_in", "expected"),
    [
        (0.99, 1.0, 0, "pass"),
        (0.951, 1.09, 0, "pass"),
        (0.951, 0.91, 0, "pass"),
        (0.949, 1.0, 0, "fail"),
        (0.99, 1.11, 0, "fail"),
        (0.99, 0.89, 0, "fail"),
        (-1.0, -1.0, 0, "fail"),
        (0.6, 0.5, 1, "pass"),
        (0.39, 1.0, 1, "fail"),
    ],
)
def test_wrong_gradient(correlation, ratio, stand_in, expected):
    found = {"slope_correlation": correlation, "slope_ratio": ratio, "stand_in": float(stand_in)}
    result = run("wrong_gradient", scored(), **found)
    assert result.status == expected
    assert ("stand-in" in result.explanation) == bool(stand_in)


def test_a_gradient_that_no_attack_takes_is_not_compared():
    found = {"slope_correlation": 0.0, "slope_ratio": 0.0, "stand_in": 0.0}
    assert run("wrong_gradient", scored(access="black"), **found).status == "not run"
    assert run("wrong_gradient", scored()).status == "not run"


@pytest.mark.parametrize(
    ("value", "compared", "randomised", "expected"),
    [
        (0.0, 10, 0, "pass"),
        (0.01, 1000, 0, "pass"),
        (0.011, 1000, 0, "fail"),
        (0.05, 1000, 1, "pass"),
        (0.07, 1000, 1, "pass"),
        (0.08, 1000, 1, "fail"),
        (0.2, 20, 1, "fail"),
        (0.19, 20, 1, "pass"),
    ],
)
def test_objective_disagrees(value, compared, randomised, expected):
    found = {"disagreement": value, "compared_queries": float(compared)}
    sound = scored({"disagreement": 0.0, "compared_queries": 100.0})
    result = run("objective_disagrees", sound, scored(found, eps=1.0), randomised=float(randomised))
    assert result.status == expected
    assert run("objective_disagrees", scored()).status == "not run"
