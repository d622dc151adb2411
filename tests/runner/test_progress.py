import io

import pytest
from rich.console import Console

from benchmark.jobs.progress import Progress
from benchmark.runner import progress
from benchmark.runner.progress import ProgressReport
from benchmark.runner.view.board import TRAIN, Board, Place, State
from benchmark.runner.view.time_left import JobCost

from .view.boards import Job


@pytest.fixture
def jobs():
    return [Job(name, f"{name}, seed 0: train") for name in ("one", "two")]


@pytest.fixture
def board(jobs):
    found = Board()
    for job in jobs:
        found.add(job.id, Place("", job.id, TRAIN), State.WAITING)
    return found


def report_of(jobs, board, shown=True):
    return ProgressReport({job.id: JobCost(10.0) for job in jobs}, board, 1, shown)


@pytest.fixture
def terminal(monkeypatch):
    console = Console(file=io.StringIO(), width=100, height=24, force_terminal=True, color_system=None)
    monkeypatch.setattr(progress, "terminal", lambda: console)
    return console


def test_lines_of_a_log(jobs, board, capsys):
    report = report_of(jobs, board)
    for job in jobs:
        report.start(job)
    report.report(jobs[1], Progress(0.5, unit="epoch", done=30, total=60, measure="loss", value=0.5))
    assert capsys.readouterr().out == "[0/2] two, seed 0: train (epoch 30 of 60, loss 0.5)\n"
    report.wait()
    assert capsys.readouterr().out == ""
    report.finish(jobs[1], None)
    line = capsys.readouterr().out
    assert line.startswith("[1/2] two, seed 0: train - done in 0 s; ")
    assert line.count("\n") == 1
    report.finish(jobs[0], "no room")
    assert "[2/2] one, seed 0: train - FAILED: no room\n" in capsys.readouterr().out
    report.close()


def test_a_reason_is_told_once_in_full(jobs, board, capsys):
    report = report_of(jobs, board)
    report.finish(jobs[0], "a long reason.")
    report.finish(jobs[1], "training failed: a long reason.")
    report.finish(jobs[1], "attack failed: training failed: a long reason.")
    report.finish(jobs[1], "another, and a long reason.")
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("FAILED: ")[2].partition(";")[0] for line in lines] == [
        "a long reason.",
        "training failed, as said above",
        "attack failed, as said above",
        "another, and a long reason.",
    ]


def test_the_board_follows(jobs, board, capsys):
    report = report_of(jobs, board)
    report.start(jobs[0])
    assert board.tally().counts[State.RUNNING] == 1
    report.report(jobs[0], Progress(0.5))
    assert board.tally(rows=["one"], columns=[TRAIN]).share == 0.5
    report.finish(jobs[0], None)
    report.finish(jobs[1], "bad")
    assert board.tally().counts[State.DONE] == board.tally().counts[State.FAILED] == 1


def test_nothing_is_shown_where_nothing_is_to_be(jobs, board, capsys):
    report = report_of(jobs, board, shown=False)
    report.start(jobs[0])
    report.wait()
    report.finish(jobs[0], None)
    report.close()
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_the_live_view(jobs, board, terminal, capsys):
    report = report_of(jobs, board)
    report.start(jobs[0])
    report.wait()
    report.finish(jobs[0], None)
    report.close()
    assert "2 jobs:" in terminal.file.getvalue()
    assert capsys.readouterr() == ("", "")


def test_a_view_that_fails_becomes_lines_and_never_stops_the_run(jobs, board, terminal, capsys, monkeypatch):
    report = report_of(jobs, board)
    report.start(jobs[0])

    def broken(*args, **given):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("benchmark.runner.view.live.board_lines", broken)
    report.wait()
    assert "The progress cannot be shown as before (ZeroDivisionError: a bug)." in capsys.readouterr().err
    report.finish(jobs[0], None)
    assert capsys.readouterr().out.startswith("[1/2] one, seed 0: train - done")
    report.close()
