import math
from dataclasses import replace

import numpy as np
import pytest

from benchmark.core.errors import BenchmarkError
from benchmark.evaluation import (
    CHECKS,
    CheckInput,
    Comparison,
    MaskingCheck,
    ScoredAttack,
    ScoredClean,
    run_checks,
)
from benchmark.evaluation.check_input import paired_difference, repeat_tolerance, tolerance
from benchmark.records.worst_queries import QueryScores, worst_of

N = 1000
EPS = 0.1
MODEL = {
    "repeat_difference": 0.0,
    "eot": 1.0,
    "chance": 0.05,
    "slope_correlation": 0.99,
    "slope_ratio": 1.0,
    "stand_in": 0.0,
}
ONE, MANY, TWICE = (f"{name}[objective=neighbour]" for name in ("fgsm", "pgd", "pgd_twice"))


def right(count, n=N):
    """Successes, the first `count` of them 1, so that two attacks differ on as few queries as possible."""
    return (np.arange(n) < count).astype(np.float32)


def scored(attack=MANY, r1=0.5, access="white", eps=EPS, steps=20, **more):
    success = right(round(r1 * N))
    options = {"objective": "neighbour", "objective_values": np.full(N, -r1, np.float32), **more}
    return ScoredAttack(attack, access, eps, float(success.mean()), success, steps=steps, **options)


def check_input(*attacks, model=MODEL, clean=0.9, **more):
    found = None if clean is None else ScoredClean(clean, right(round(clean * N)))
    return CheckInput(EPS, 1.0, model, found, tuple(attacks), **more)


def run_check(name, *attacks, **more):
    return CHECKS.build(name).run(check_input(*attacks, **more))


def status(name, *attacks, **more):
    return run_check(name, *attacks, **more).status


def test_without_measurements_no_check_is_run():
    results = run_checks(CheckInput(EPS, None))
    assert [r.name for r in results] == CHECKS.names()
    assert {r.status for r in results} == {"not run"}
    assert all(r.explanation.startswith("needs ") and r.value is None and r.excess is None for r in results)


def test_a_healthy_model_passes_every_check():
    found = {
        "zero_gradient": 0.0,
        "rescored_r1": 0.5,
        "disagreement": 0.0,
        "compared_queries": 100.0,
        "shifted_drop": 0.02,
        "shifted_tolerance": 0.09,
    }
    attacks = [
        scored(MANY, 0.5, doubled_steps=TWICE, diagnostics=found, in_suite=True),
        scored(TWICE, 0.49, steps=40),
        scored(ONE, 0.6, steps=1),
        scored("square", 0.7, "black", steps=None),
        scored("transfer", 0.8, "transfer", steps=None),
        scored(MANY, 0.7, eps=0.05),
        scored(MANY, 0.0, eps=1.0),
    ]
    results = run_checks(check_input(*attacks))
    assert {r.status for r in results} == {"pass"}
    assert all(r.excess <= 0 for r in results)


@pytest.mark.parametrize(
    ("difference", "eot", "expected"),
    [(0.0, 1, "pass"), (1e-4, 1, "pass"), (1.1e-4, 1, "fail"), (0.5, 1, "fail"), (0.5, 5, "pass")],
)
def test_randomised(difference, eot, expected):
    model = {"repeat_difference": difference, "eot": float(eot)}
    assert run_check("randomised", model=model).status == expected
    for name in model:
        assert status("randomised", model={k: v for k, v in model.items() if k != name}) == "not run"


@pytest.mark.parametrize(
    ("fraction", "expected"), [(0.0, "pass"), (0.01, "pass"), (0.011, "fail"), (1.0, "fail")]
)
def test_zero_gradient(fraction, expected):
    found = {"zero_gradient": fraction}
    clean = scored(diagnostics={"zero_gradient": 0.0})
    assert status("zero_gradient", clean, scored(ONE, diagnostics=found)) == expected
    other = [
        scored("transfer", access="transfer", diagnostics=found),  # another model's gradient
        scored("pgd[objective=own]", objective="own", diagnostics=found),
        scored(eps=1.0, diagnostics=found),
        scored(),
    ]
    assert status("zero_gradient", *other) == "not run"


@pytest.mark.parametrize(("gain", "expected"), [(0, "pass"), (20, "pass"), (21, "fail"), (-300, "pass")])
def test_every_comparison_of_r1_fails_beyond_two_points(gain, expected):
    lower = (500 - gain) / N
    found = {
        "one_step_beats_many": [scored(), scored(ONE, lower, steps=1, objective_values=None)],
        "black_box_beats_white_box": [scored(), scored("square", lower, "black")],
        "transfer_beats_white_box": [scored(), scored("transfer", lower, "transfer")],
        "not_monotone": [scored(), scored(r1=lower, eps=0.05)],
        "not_converged": [scored(doubled_steps=TWICE), scored(TWICE, lower, steps=40)],
        "unbounded": [scored(r1=max(0, gain) / N, eps=1.0)],
    }
    for name, attacks in found.items():
        result = run_check(name, *attacks)
        assert (name, result.status) == (name, expected)
        assert result.value == pytest.approx((max(0, gain) if name == "unbounded" else gain) / N, abs=1e-6)
        for index in range(len(attacks)):  # each attack is needed
            assert status(name, *attacks[:index], *attacks[index + 1 :]) == "not run", name


def test_the_best_of_each_side_is_compared():
    weak, strong, black = scored("weak", 0.9), scored("strong", 0.3), scored("square", 0.5, "black")
    assert status("black_box_beats_white_box", weak, black) == "fail"
    assert status("black_box_beats_white_box", weak, strong, black) == "pass"
    assert status("black_box_beats_white_box", weak, scored("strong", 0.3, eps=0.2), black) == "fail"
    one = scored(ONE, 0.5, steps=1)
    assert status("one_step_beats_many", one, weak) == "fail"
    assert status("one_step_beats_many", one, weak, strong) == "pass"


@pytest.mark.parametrize(("gain", "expected"), [(0.0, "pass"), (0.099, "pass"), (0.101, "fail")])
@pytest.mark.parametrize("objective", ["neighbour", "own"])
@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_one_step_that_reaches_a_higher_objective(gain, expected, objective, scale):
    """The tolerance is a tenth of its standard deviation, because cosines in a narrow cone differ little."""
    values = scale * np.linspace(-1, 1, N)
    many = scored(objective=objective, objective_values=values)
    one = scored(ONE, steps=1, objective=objective, objective_values=values + gain * values.std())
    result = run_check("one_step_beats_many", one, many)
    assert result.status == expected
    # Objectives are not comparable with each other, and R@1 is compared only for `neighbour`.
    other = scored(ONE, 0.1, steps=1, objective="shift", objective_values=np.full(N, 9.0))
    assert run_check("one_step_beats_many", one, many, other) == result


def test_a_suite_is_too_weak_when_an_attack_outside_it_is_better():
    suite = [scored("a", 0.5, in_suite=True), scored("noise", 0.8, in_suite=True)]
    assert status("suite_too_weak", *suite, scored("outside", 0.49)) == "pass"
    assert status("suite_too_weak", *suite, scored("outside", 0.3)) == "fail"
    assert status("suite_too_weak", *suite, scored("outside", 0.3, eps=0.2)) == "not run"
    assert status("suite_too_weak", scored("outside", 0.3)) == "not run"
    # The suite's worst case is the minimum of each query, and includes the clean images.
    assert status("suite_too_weak", scored("a", 1.0, in_suite=True), scored("b", 0.5), clean=0.5) == "pass"


def test_the_suite_of_a_randomised_model_has_the_worst_case_of_its_row():
    def drawn(name, seed, **more):
        halves = (np.random.default_rng(seed).random((2, N)) < 0.5).astype(np.float32)
        return replace(scored(name, **more), success=halves.mean(0), r1=float(halves.mean()), halves=halves)

    suite = [drawn(name, seed, in_suite=True) for seed, name in enumerate("abc")]
    measured = check_input(*suite, clean=None)
    expected = worst_of([QueryScores(one.success, halves=one.halves) for one in suite])
    assert np.array_equal(measured.worst_of_suite(), expected)
    # The lowest of three noisy means is far below any of them; an attack outside is no worse than one.
    lowest = np.minimum.reduce([one.success for one in suite]).mean()
    assert lowest < 0.3 < 0.4 < expected.mean()
    assert status("suite_too_weak", *suite, scored("outside", 0.4), clean=None) == "fail"
    # A cell that was left out has the scores of others, without halves.
    left_out = replace(suite[0], success=suite[1].success, halves=None, left_out=True)
    assert np.array_equal(check_input(*suite, left_out, clean=None).worst_of_suite(), expected)


def test_r1_is_compared_only_for_neighbour():
    one, many = (
        scored(a, r1, steps=s, objective="own", objective_values=None)
        for a, r1, s in ((ONE, 0.1, 1), (MANY, 0.9, 20))
    )
    assert status("one_step_beats_many", one, many) == "not run"
    rising = [scored(r1=r1, eps=eps, objective="own") for r1, eps in ((0.1, 0.05), (0.9, 0.1))]
    assert status("not_monotone", *rising) == "not run"
    overshoot = [scored(ONE, r1, eps=eps, steps=1) for r1, eps in ((0.1, 0.05), (0.9, 0.1))]
    assert status("not_monotone", *overshoot) == "not run"


def test_every_pair_of_neighboring_budgets_is_compared_in_any_order():
    attacks = [scored(r1=r1, eps=eps) for eps, r1 in ((0.2, 0.2), (0.05, 0.6), (1.0, 0.3), (0.1, 0.4))]
    result = run_check("not_monotone", *attacks)
    assert result.status == "fail"
    assert result.value == pytest.approx(0.1)
    assert "0.2" in result.explanation and "1" in result.explanation
    assert status("not_monotone", *(a for a in attacks if a.eps < 1)) == "pass"
    equal = [scored(r1=r1, eps=eps) for r1, eps in ((0.1, 0.0156862745), (0.9, 4 / 255))]
    assert status("not_monotone", *equal) == "not run"  # the same budget, rounded


def test_unbounded_uses_the_best_attack_from_the_clean_images():
    attacks = [scored("stuck", 0.9, eps=1.0), scored("strong", 0.0, eps=1.0)]
    assert status("unbounded", attacks[0]) == "fail"
    assert status("unbounded", *attacks) == "pass"
    # Over the whole range a random start is a random image, so a clean start takes precedence.
    assert status("unbounded", scored(r1=0.9, eps=1.0, from_clean=True), attacks[1]) == "fail"
    assert status("unbounded", attacks[0], scored(r1=0.0, eps=1.0, from_clean=True)) == "pass"
    assert status("unbounded", scored("square", 0.9, "black", eps=1.0)) == "not run"
    for whole_range, expected in ((None, "not run"), (28.0, "not run"), (1.0, "fail")):
        known = CheckInput(EPS, whole_range, attacks=(attacks[0],))
        assert CHECKS.build("unbounded").run(known).status == expected


@pytest.mark.parametrize(
    ("clean", "expected"), [(0.0, "fail"), (0.05, "fail"), (0.07, "fail"), (0.1, "pass")]
)
def test_collapsed(clean, expected):
    assert status("collapsed", clean=clean) == expected
    assert status("collapsed", clean=clean, model={}) == "not run"
    assert status("collapsed", clean=None) == "not run"


@pytest.mark.parametrize(
    ("rescored", "expected"), [(0.5, "pass"), (0.52, "pass"), (0.479, "fail"), (0.521, "fail"), (0.0, "fail")]
)
def test_rescored(rescored, expected):
    found = scored("square", access="black", eps=0.2, diagnostics={"rescored_r1": rescored})
    assert status("rescored", scored(diagnostics={"rescored_r1": 0.5}), found) == expected
    assert status("rescored", scored()) == "not run"


@pytest.mark.parametrize(
    ("error", "repeats", "allowed"),
    [(0.002, 20, 0.02), (0.01, 20, 0.0345), (0.01, 5, 0.0662), (0.0, 5, 0.02)],
)
def test_the_tolerance_of_a_randomised_model_follows_its_repeats(error, repeats, allowed):
    rates = np.full(400, 0.5, np.float32)  # errors over queries ignore shared draws
    for beyond, expected in ((-2e-4, "pass"), (2e-4, "fail")):
        diagnostics = {
            "rescored_r1": 0.5 + allowed + beyond,
            "rescored_error": error,
            "rescored_passes": repeats,
        }
        found = ScoredAttack(MANY, "white", EPS, 0.5, rates, diagnostics=diagnostics)
        assert status("rescored", found) == expected


@pytest.mark.parametrize("repeats", [3, 5, 20])
def test_a_randomised_model_seldom_fails_by_chance(repeats):
    draws = 0.03 * np.random.default_rng(0).standard_normal((20_000, repeats))
    errors = draws.std(axis=1, ddof=1) / math.sqrt(repeats)
    allowed = np.array([repeat_tolerance(error, repeats) for error in errors])
    assert 0 < (abs(draws.mean(axis=1)) > allowed).mean() < 0.005


def test_the_error_is_that_of_the_paired_difference():
    generator = np.random.default_rng(0)
    hard = generator.random(200) < 0.5
    lucky = hard ^ (generator.random(200) < 0.02)
    assert paired_difference(hard, lucky)[1] < 0.05  # unpaired it would be 3 x 0.035
    other = generator.random(200) < 0.5
    mean, allowed = paired_difference(hard, other)
    naive = [float(a) - float(b) for a, b in zip(hard, other, strict=True)]
    assert mean == pytest.approx(sum(naive) / 200)
    error = math.sqrt(sum((d - mean) ** 2 for d in naive) / 199 / 200)
    assert allowed == pytest.approx(3 * error)
    with pytest.raises(BenchmarkError, match="200 and on 3"):
        paired_difference(hard, hard[:3])


def test_the_tolerance_is_wide_with_few_queries():
    few = np.array([1.0, 0.0] * 5)
    assert tolerance(few) > 0.4
    assert tolerance(np.repeat(few, 1000)) == pytest.approx(0.02)
    assert tolerance(np.ones(1)) == tolerance(np.ones(9)) == 0.02
    white, black = (
        ScoredAttack(name, access, EPS, float(s.mean()), s, objective="neighbour", steps=20)
        for name, access, s in (
            ("a", "white", np.array([1.0] * 5 + [0.0] * 5)),
            ("b", "black", np.eye(10)[0] * 1.0),
        )
    )
    assert status("black_box_beats_white_box", white, black) == "pass"  # 40 points, within a tolerance of 49


def test_a_newly_registered_check_is_run_last_and_has_a_summary():
    @CHECKS.register("queries_few")
    class FewQueries(MaskingCheck):
        """The pool has fewer than ten queries."""

        needs = "the clean scores"

        def compare(self, measured):
            queries = [len(measured.clean.success)] if measured.clean else []
            return [Comparison.below(count, 10, f"{count} queries") for count in queries]

    try:
        result = run_checks(check_input())[-1]
        assert (result.name, result.status, result.explanation) == ("queries_few", "pass", "1000 queries")
        assert run_checks(CheckInput(EPS))[-1].explanation == "needs the clean scores"
        assert CHECKS.names()[-1] == "queries_few"
        assert CHECKS.get("queries_few").summary() == "The pool has fewer than ten queries."
    finally:
        CHECKS.forget("queries_few")
    assert "queries_few" not in [result.name for result in run_checks(check_input())]


def test_every_summary_fits_the_legend_of_the_table():
    summaries = [check.summary() for _, check in CHECKS.items()]
    assert all(summary.endswith(".") and len(summary) <= 100 for summary in summaries)
    assert len(set(summaries)) == len(summaries)


NAN = math.nan


def made(*found, needs="noise", error=None):
    """A check that returns these comparisons, or that one object, or raises."""

    class Made(MaskingCheck):
        """Fails."""

        def compare(self, measured):
            if error:
                raise error
            return (
                found[0]
                if len(found) == 1 and not isinstance(found[0], tuple)
                else [Comparison.above(*one) for one in found]
            )

    Made.needs = needs
    return Made().run(CheckInput(EPS))


@pytest.mark.parametrize("bad", [(NAN, 0.1, "bad"), (0.5, NAN, "bad")])
def test_a_comparison_without_a_number_is_not_run_and_hides_no_failing_one(bad):
    sound, failing = (0.0, 0.1, "sound"), (0.4, 0.1, "failing")
    for found in ((bad,), (bad, sound), (sound, bad)):
        result = made(*found)
        assert result.status == "not run"
        assert result.explanation in (
            "has a value that is not a number: bad",
            "has a tolerance that is not a number: bad",
        )
        assert result.value is None
    for found in ((bad, failing), (failing, bad), (sound, bad, failing)):
        result = made(*found)
        assert (result.status, result.explanation, result.value) == ("fail", "failing", 0.4)


def test_a_check_that_does_not_work_is_not_run_and_says_why():
    raised = made(error=ZeroDivisionError("division by zero"))
    assert raised.status == "not run"
    assert raised.explanation.startswith("raised ZeroDivisionError: division by zero (test_checks.py, line ")
    assert made(None).explanation == "returned None, not a list of Comparison"
    bare = Comparison.above(0.0, 0.1, "sound")
    assert made(bare).explanation == "returned Comparison, not a list of Comparison"
    assert made([bare, 3]).explanation == "returned a list that holds int, not a list of Comparison"
    assert made(needs="").explanation == "needs what was not measured"


def measured_at(r1):
    return {"rescored_r1": r1 + 0.1, "disagreement": 0.1, "compared_queries": 9.0}


def test_what_is_the_same_at_every_budget_is_run_once():
    shifted = {"shifted_drop": 0.2, "shifted_tolerance": 0.09}
    attacks = [
        scored(MANY, r1, eps=eps, diagnostics={**measured_at(r1), **shifted}, in_suite=True)
        for eps, r1 in ((EPS, 0.5), (2 * EPS, 0.55), (4 * EPS, 0.3))
    ]
    kept = {}
    for eps in (EPS, 2 * EPS, 4 * EPS):
        measured = CheckInput(eps, 1.0, {**MODEL, "slope_ratio": 2.0}, None, tuple(attacks))
        assert run_checks(measured, kept) == run_checks(measured)
    everywhere = {name for name, check in CHECKS.items() if check.at_every_budget}
    assert everywhere == {"not_monotone", "rescored", "wrong_gradient", "objective_disagrees", "shifted"}
    assert {name for name in everywhere if kept[name].status == "fail"} == everywhere
    kept["rescored"] = kept["rescored"].model_copy(update={"explanation": "of another budget"})
    assert "of another budget" in [result.explanation for result in run_checks(measured, kept)]
