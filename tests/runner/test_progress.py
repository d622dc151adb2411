from dataclasses import dataclass

import pytest

from benchmark.jobs import Epochs
from benchmark.runner.progress import ProgressReport


@dataclass
class Job:
    """A job that is as far as the test says."""

    id: str
    reached: Epochs

    @property
    def label(self):
        return f"{self.id}, seed 0: train"

    def progress(self, store):
        return self.reached


@pytest.fixture
def jobs():
    return [Job(name, Epochs()) for name in ("one", "two")]


def test_lines_of_a_log(jobs, capsys):
    report = ProgressReport({job.id: 10.0 for job in jobs}, shown=True, store=None)
    for job in jobs:
        report.start(job)
    lines = []
    for epoch in (0, 5, 6, 7, 11, 12, 59):
        jobs[1].reached = Epochs(epoch, 60)
        report.wait()
        lines.append(capsys.readouterr().out)
    assert [bool(line) for line in lines] == [False, False, True, False, False, True, True]
    assert lines[2] == "[0/2] two, seed 0: train (epoch 6 of 60)\n"
    report.finish(jobs[1], None)
    report.wait()
    line = capsys.readouterr().out
    assert line.startswith("[1/2] two, seed 0: train - done in 0 s; about ")
    assert line.count("\n") == 1
    report.finish(jobs[0], "no room")
    assert "[2/2] one, seed 0: train - FAILED: no room\n" in capsys.readouterr().out


def test_nothing_is_shown_where_nothing_is_to_be(jobs, capsys):
    report = ProgressReport({"one": 1.0}, shown=False, store=None)
    report.start(jobs[0])
    report.wait()
    report.finish(jobs[0], None)
    report.close()
    assert capsys.readouterr() == ("", "")
