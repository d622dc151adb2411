from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.jobs.progress import Progress
from benchmark.runner.view.time_left import JobCost, TimeLeft

from .simulation import SimulatedRun

COSTS = st.lists(st.floats(5, 300), min_size=4, max_size=25)


def run_of(costs, **given):
    return SimulatedRun({str(index): JobCost(cost) for index, cost in enumerate(costs)}, **given)


@settings(max_examples=60)
@given(COSTS, st.integers(1, 4), st.booleans())
def test_it_is_within_a_factor_of_2_after_a_fifth_of_a_run(costs, workers, reporting):
    seen, end = run_of(costs, workers=workers, reporting=reporting).estimates()
    for now, _, estimate in seen:
        if now >= end / 5 and end - now > 5:
            if not reporting and estimate.seconds is None:  # no job has ended
                continue
            assert (end - now) / 2.01 <= estimate.seconds <= 2.01 * (end - now), (now, end)


@settings(max_examples=60)
@given(COSTS, st.integers(1, 4), st.floats(0.01, 100))
def test_with_progress_and_equal_pace_it_never_rises(costs, workers, pace):
    seen, _ = run_of(costs, workers=workers, seconds_per_unit={(): pace}).estimates(step=pace)
    known = [estimate.seconds for _, _, estimate in seen if estimate.seconds is not None]
    assert known
    assert all(later <= earlier * 1.01 + 2 * pace for earlier, later in pairwise(known))


@settings(max_examples=40)
@given(COSTS, st.integers(1, 4))
def test_what_jobs_need_is_waited_for(costs, workers):
    half = len(costs) // 2
    jobs = {f"t{index}": JobCost(cost) for index, cost in enumerate(costs[:half])}
    jobs |= {
        f"a{index}": JobCost(cost, needs=(f"t{index % half}",)) for index, cost in enumerate(costs[half:])
    }
    seen, end = SimulatedRun(jobs, workers=workers).estimates()
    for now, _, estimate in seen:
        if now >= end / 5 and end - now > 5:
            assert (end - now) / 2.01 <= estimate.seconds <= 2.01 * (end - now)


def test_kinds_have_a_pace_of_their_own():
    jobs = {f"t{index}": JobCost(100.0, ("glyphs", "training")) for index in range(4)}
    jobs |= {f"a{index}": JobCost(100.0, ("glyphs", "attack")) for index in range(12)}
    run = SimulatedRun(jobs, seconds_per_unit={("glyphs", "training"): 0.1, ("glyphs", "attack"): 1.0})
    seen, end = run.estimates()
    late = [(now, estimate.seconds) for now, _, estimate in seen if 0.2 * end < now < 0.95 * end]
    assert all(seconds == pytest.approx(end - now, rel=0.3, abs=5) for now, seconds in late)


def test_a_kind_of_which_nothing_is_known_has_the_pace_of_the_nearest():
    clock = [0.0]
    jobs = {
        "slow": JobCost(10.0, ("sop", "training")),
        "fast": JobCost(1000.0, ("glyphs", "training")),
        "next": JobCost(10.0, ("sop", "attack")),
    }
    left = TimeLeft(jobs, 1, lambda: clock[0])
    for name in ("slow", "fast"):
        left.start(name)
        clock[0] += 100.0
        left.finish(name)
    assert left.estimate().seconds == pytest.approx(100.0)


def test_a_bound_is_called_one_until_enough_is_known_of_it():
    jobs = {"whole": JobCost(50.0)} | {str(index): JobCost(100.0, is_bound=True) for index in range(9)}
    parts = {str(index): 0.1 for index in range(9)}
    seen, end = SimulatedRun(jobs, workers=1, parts=parts).estimates()
    texts = [str(estimate) for _, _, estimate in seen]
    assert any(text.startswith("at most ") for text in texts)
    now, _, later = seen[-10]
    assert not str(later).startswith("at most")
    assert later.seconds == pytest.approx(end - now, rel=0.5, abs=3)
    assert all(estimate.most is None or estimate.most >= estimate.seconds for _, _, estimate in seen)


def test_no_bound_is_below_the_time_that_is_left():
    jobs = {str(index): JobCost(100.0, is_bound=True) for index in range(8)}
    parts = {str(index): 1.0 if index % 2 else 0.3 for index in range(8)}
    seen, end = SimulatedRun(jobs, workers=1, parts=parts).estimates()
    for now, _, estimate in seen:
        most = estimate.seconds if not estimate.known else estimate.most
        assert most is None or most >= (end - now) * 0.99 - 2


def test_what_earlier_runs_did_is_no_part_of_the_pace():
    jobs = {str(index): JobCost(100.0) for index in range(6)}
    seen, end = SimulatedRun(jobs, workers=1, resumed={"0": 0.9}).estimates()
    for now, _, estimate in seen:
        if estimate.seconds is not None and end - now > 5:
            assert estimate.seconds == pytest.approx(end - now, rel=0.2)


def test_a_job_that_takes_longer_than_it_should_has_time_left():
    clock = [0.0]
    left = TimeLeft({"a": JobCost(10.0), "b": JobCost(10.0)}, 1, lambda: clock[0])
    left.start("a")
    clock[0] = 10.0
    left.finish("a")
    left.start("b")
    texts = []
    for clock[0] in range(10, 200):
        texts.append(str(left.estimate()))
    assert "about 10 s left" in texts[0]
    assert texts.count("almost done") <= 8
    assert texts[-1] == "about 90 s left"
    assert "about 0 s left" not in texts


def test_nothing_is_said_before_anything_is_known():
    left = TimeLeft({"a": JobCost(10.0)}, 1, lambda: 0.0)
    assert str(left.estimate()) == "time left unknown yet"
    left.start("a")
    assert str(left.estimate()) == "time left unknown yet"
    assert left.units_per_second is None


def test_a_run_of_jobs_without_cost_ends():
    left = TimeLeft({"a": JobCost(0.0)}, 1, lambda: 0.0)
    left.start("a")
    left.report("a", Progress(0.5))
    left.finish("a")
    assert str(left.estimate()) == "all done"
    assert left.share == 1.0


def test_jobs_that_did_not_run_here_leave_the_pace_alone():
    clock = [0.0]
    left = TimeLeft({name: JobCost(10.0) for name in "abcd"}, 1, lambda: clock[0])
    left.start("a")
    clock[0] = 10.0
    left.finish("a")
    left.finish("b")  # by another run
    left.finish("c", failed=True)
    assert left.estimate().seconds == pytest.approx(10.0)
    assert left.units_per_second == pytest.approx(1.0)
