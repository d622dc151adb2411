import math

import numpy as np
import pytest

from benchmark.core.errors import BenchmarkError
from benchmark.evaluation.check_input import CheckInput, ScoredAttack, ScoredClean, paired, redrawn, tolerance
from benchmark.evaluation.checks import CHECKS, run_checks

N = 1000
EPS = 0.1
MODEL = {"repeat_difference": 0.0, "eot": 1.0, "chance": 0.05}
ONE, MANY, TWICE = (f"{name}[objective=neighbour]" for name in ("fgsm", "pgd", "pgd_twice"))


def right(count, n=N):
    """Outcomes of which the first `count` are right: those of two attacks differ on as few as can be."""
    return (np.arange(n) < count).astype(np.float32)


def scored(attack=MANY, r1=0.5, access="white", eps=EPS, steps=20, **more):
    success = right(round(r1 * N))
    options = {"objective": "neighbour", "values": np.full(N, -r1, np.float32), **more}
    return ScoredAttack(attack, access, eps, float(success.mean()), success, steps=steps, **options)


def evidence(*attacks, model=MODEL, clean=0.9, **more):
    found = None if clean is None else ScoredClean(clean, right(round(clean * N)))
    return CheckInput(EPS, 1.0, model, found, tuple(attacks), **more)


def verdict(name, *attacks, **more):
    return CHECKS.build(name).run(evidence(*attacks, **more))


def status(name, *attacks, **more):
    return verdict(name, *attacks, **more).status


def test_without_evidence_nothing_is_a_pass():
    verdicts = run_checks(CheckInput(EPS, None))
    assert [v.name for v in verdicts] == CHECKS.names()
    assert {v.status for v in verdicts} == {"not run"}
    assert all(v.words.startswith("needs ") and v.value is None and v.excess is None for v in verdicts)


def test_a_healthy_model_passes_everything():
    found = {"zero_gradient": 0.0, "rescored_r1": 0.5}
    attacks = [
        scored(MANY, 0.5, twice=TWICE, diagnostics=found, in_suite=True),
        scored(TWICE, 0.49, steps=40),
        scored(ONE, 0.6, steps=1),
        scored("square", 0.7, "black", steps=None),
        scored("transfer", 0.8, "transfer", steps=None),
        scored(MANY, 0.7, eps=0.05),
        scored(MANY, 0.0, eps=1.0),
    ]
    verdicts = run_checks(evidence(*attacks))
    assert {v.status for v in verdicts} == {"pass"}
    assert all(v.excess <= 0 for v in verdicts)


@pytest.mark.parametrize(
    ("difference", "eot", "expected"),
    [(0.0, 1, "pass"), (1e-4, 1, "pass"), (1.1e-4, 1, "fail"), (0.5, 1, "fail"), (0.5, 5, "pass")],
)
def test_randomised(difference, eot, expected):
    model = {"repeat_difference": difference, "eot": float(eot)}
    assert verdict("randomised", model=model).status == expected
    for name in model:
        assert status("randomised", model={k: v for k, v in model.items() if k != name}) == "not run"


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, "pass"), (0.01, "pass"), (0.011, "fail"), (1.0, "fail")]
)
def test_zero_gradient(share, expected):
    found = {"zero_gradient": share}
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
        "one_step_beats_many": [scored(), scored(ONE, lower, steps=1, values=None)],
        "black_box_beats_white_box": [scored(), scored("square", lower, "black")],
        "transfer_beats_white_box": [scored(), scored("transfer", lower, "transfer")],
        "not_monotone": [scored(), scored(r1=lower, eps=0.05)],
        "not_converged": [scored(twice=TWICE), scored(TWICE, lower, steps=40)],
        "unbounded": [scored(r1=max(0, gain) / N, eps=1.0)],
    }
    for name, attacks in found.items():
        judged = verdict(name, *attacks)
        assert (name, judged.status) == (name, expected)
        assert judged.value == pytest.approx((max(0, gain) if name == "unbounded" else gain) / N, abs=1e-6)
        for index in range(len(attacks)):  # each is needed
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
    """By a tenth of its deviation, whatever its scale: cosines in a narrow cone are all but equal."""
    values = scale * np.linspace(-1, 1, N)
    many = scored(objective=objective, values=values)
    one = scored(ONE, steps=1, objective=objective, values=values + gain * values.std())
    judged = verdict("one_step_beats_many", one, many)
    assert judged.status == expected
    # Another objective's units mean nothing here; and R@1 decides for `neighbour` alone.
    other = scored(ONE, 0.1, steps=1, objective="shift", values=np.full(N, 9.0))
    assert verdict("one_step_beats_many", one, many, other) == judged


def test_a_suite_that_an_attack_beside_it_beats_is_too_weak():
    suite = [scored("a", 0.5, in_suite=True), scored("noise", 0.8, in_suite=True)]
    assert status("suite_too_weak", *suite, scored("beside", 0.49)) == "pass"
    assert status("suite_too_weak", *suite, scored("beside", 0.3)) == "fail"
    assert status("suite_too_weak", *suite, scored("beside", 0.3, eps=0.2)) == "not run"
    assert status("suite_too_weak", scored("beside", 0.3)) == "not run"
    # The suite's worst case is taken query by query, and the clean pass counts.
    assert status("suite_too_weak", scored("a", 1.0, in_suite=True), scored("b", 0.5), clean=0.5) == "pass"


def test_r1_of_an_objective_that_is_not_its_margin_is_left_out():
    one, many = (
        scored(a, r1, steps=s, objective="own", values=None) for a, r1, s in ((ONE, 0.1, 1), (MANY, 0.9, 20))
    )
    assert status("one_step_beats_many", one, many) == "not run"
    rising = [scored(r1=r1, eps=eps, objective="own") for r1, eps in ((0.1, 0.05), (0.9, 0.1))]
    assert status("not_monotone", *rising) == "not run"
    overshoot = [scored(ONE, r1, eps=eps, steps=1) for r1, eps in ((0.1, 0.05), (0.9, 0.1))]
    assert status("not_monotone", *overshoot) == "not run"


def test_every_neighbouring_pair_of_budgets_counts_whatever_their_order():
    attacks = [scored(r1=r1, eps=eps) for eps, r1 in ((0.2, 0.2), (0.05, 0.6), (1.0, 0.3), (0.1, 0.4))]
    judged = verdict("not_monotone", *attacks)
    assert judged.status == "fail"
    assert judged.value == pytest.approx(0.1)
    assert "0.2" in judged.words and "1" in judged.words
    assert status("not_monotone", *(a for a in attacks if a.eps < 1)) == "pass"
    alike = [scored(r1=r1, eps=eps) for r1, eps in ((0.1, 0.0156862745), (0.9, 4 / 255))]
    assert status("not_monotone", *alike) == "not run"  # one budget, written twice


def test_the_whole_range_takes_the_best_attack_and_needs_to_be_known():
    attacks = [scored("stuck", 0.9, eps=1.0), scored("strong", 0.0, eps=1.0)]
    assert status("unbounded", attacks[0]) == "fail"
    assert status("unbounded", *attacks) == "pass"
    # Over the whole range a random start is a random image; it does not count beside a clean start.
    assert status("unbounded", scored(r1=0.9, eps=1.0, from_clean=True), attacks[1]) == "fail"
    assert status("unbounded", attacks[0], scored(r1=0.0, eps=1.0, from_clean=True)) == "pass"
    assert status("unbounded", scored("square", 0.9, "black", eps=1.0)) == "not run"
    for whole, expected in ((None, "not run"), (28.0, "not run"), (1.0, "fail")):
        known = CheckInput(EPS, whole, attacks=(attacks[0],))
        assert CHECKS.build("unbounded").run(known).status == expected


@pytest.mark.parametrize(
    ("clean", "expected"), [(0.0, "fail"), (0.05, "fail"), (0.07, "fail"), (0.1, "pass")]
)
def test_collapsed(clean, expected):
    assert status("collapsed", clean=clean) == expected
    assert status("collapsed", clean=clean, model={}) == "not run"
    assert status("collapsed", clean=None) == "not run"


@pytest.mark.parametrize(
    ("again", "expected"), [(0.5, "pass"), (0.52, "pass"), (0.479, "fail"), (0.521, "fail"), (0.0, "fail")]
)
def test_rescored(again, expected):
    found = scored("square", access="black", eps=0.2, diagnostics={"rescored_r1": again})
    assert status("rescored", scored(diagnostics={"rescored_r1": 0.5}), found) == expected
    assert status("rescored", scored()) == "not run"


@pytest.mark.parametrize(
    ("error", "passes", "allowed"), [(0.002, 20, 0.02), (0.01, 20, 0.0345), (0.01, 5, 0.0662), (0.0, 5, 0.02)]
)
def test_a_randomised_model_is_allowed_what_its_passes_differ_by(error, passes, allowed):
    rates = np.full(400, 0.5, np.float32)  # of each query alone: they say nothing of what all share
    for beyond, expected in ((-2e-4, "pass"), (2e-4, "fail")):
        again = {"rescored_r1": 0.5 + allowed + beyond, "rescored_error": error, "rescored_passes": passes}
        found = ScoredAttack(MANY, "white", EPS, 0.5, rates, diagnostics=again)
        assert status("rescored", found) == expected


@pytest.mark.parametrize("passes", [3, 5, 20])
def test_chance_alone_seldom_fails_a_randomised_model(passes):
    draws = 0.03 * np.random.default_rng(0).standard_normal((20_000, passes))
    errors = draws.std(axis=1, ddof=1) / math.sqrt(passes)
    allowed = np.array([redrawn(error, passes) for error in errors])
    assert 0 < (abs(draws.mean(axis=1)) > allowed).mean() < 0.005


def test_the_error_is_that_of_the_paired_difference():
    generator = np.random.default_rng(0)
    hard = generator.random(200) < 0.5
    lucky = hard ^ (generator.random(200) < 0.02)
    assert paired(hard, lucky)[1] < 0.05  # each alone would have 3 x 0.035
    other = generator.random(200) < 0.5
    mean, allowed = paired(hard, other)
    naive = [float(a) - float(b) for a, b in zip(hard, other, strict=True)]
    assert mean == pytest.approx(sum(naive) / 200)
    error = math.sqrt(sum((d - mean) ** 2 for d in naive) / 199 / 200)
    assert allowed == pytest.approx(3 * error)
    with pytest.raises(BenchmarkError, match="200 and on 3"):
        paired(hard, hard[:3])


def test_few_queries_allow_more():
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
    assert status("black_box_beats_white_box", white, black) == "pass"  # 40 points, and 49 are luck
