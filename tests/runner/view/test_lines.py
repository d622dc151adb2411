import pytest

from benchmark.jobs.progress import Progress
from benchmark.runner.view.display import Overview
from benchmark.runner.view.estimate import Estimate
from benchmark.runner.view.lines import Lines

from .boards import Job

LEFT = Overview(Estimate(600.0))


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
def shown(clock):
    return Lines(5, lambda job: job.label, clock=lambda: clock[0])


def epoch(done, value=0.5):
    return Progress(done / 60, unit="epoch", done=done, total=60, measure="loss", value=value)


def test_a_line_for_each_tenth_of_a_training_and_for_its_end(shown, clock, capsys):
    job = Job("one", "one, seed 0: train")
    shown.start(job)
    lines = []
    for done in (0, 5, 6, 7, 11, 12, 59):
        shown.report(job, epoch(done))
        lines.append(capsys.readouterr().out)
    assert [bool(line) for line in lines] == [False, False, True, False, False, True, True]
    assert lines[2] == "[0/5] one, seed 0: train (epoch 6 of 60, loss 0.5)\n"
    clock[0] = 12.0
    shown.finish(job, None, LEFT)
    assert capsys.readouterr().out == "[1/5] one, seed 0: train - done in 12 s; about 10 min left\n"
    shown.finish(Job("two", "two"), "no room", LEFT)
    assert capsys.readouterr().out == "[2/5] two - FAILED: no room; about 10 min left\n"


def test_at_least_a_line_every_30_seconds_with_what_runs(shown, clock, capsys):
    for index in range(5):
        shown.start(Job(f"{index}", f"job {index}", resumable=False))
    shown.report(Job("0", "job 0", resumable=False), Progress(0.5, 1.0, "step", 31, 100, "objective", 0.25))
    times = []
    for clock[0] in range(200):
        shown.tick(LEFT)
        if capsys.readouterr().out:
            times.append(clock[0])
    assert times == [30, 60, 90, 120, 150, 180]
    clock[0] += 30
    shown.tick(LEFT)
    assert capsys.readouterr().out == (
        "[0/5] running: job 0 (step 31 of 100, objective 0.25), job 1, job 2, 2 more; about 10 min left\n"
    )


def test_the_steps_of_attacks_get_no_lines_of_their_own(shown, capsys):
    job = Job("a", "attack", resumable=False)
    shown.start(job)
    for done in range(100):
        shown.report(job, Progress(done / 100, 1.0, "step", done, 100))
    assert capsys.readouterr().out == ""


def test_failures_are_counted_and_the_last_line_says_nothing_of_time(shown, clock, capsys):
    shown.finish(Job("a", "a"), "bad", LEFT)
    clock[0] = 31.0
    shown.tick(LEFT)
    assert "running: nothing, waiting, 1 failed; about 10 min left" in capsys.readouterr().out
    for name in "bcde":
        shown.finish(Job(name, name), None, LEFT)
    assert capsys.readouterr().out.splitlines()[-1] == "[5/5] e - done in 0 s"
