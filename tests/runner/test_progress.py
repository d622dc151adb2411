import pytest

from benchmark.jobs.train_job import TrainJob
from benchmark.records import ModelKey
from benchmark.runner.progress import Epochs, Progression


@pytest.fixture
def jobs():
    keys = [ModelKey(dataset="d", backbone="b", loss="l", defense=name, seed=0) for name in ("one", "two")]
    return [TrainJob(id=key.defense, key=key, recipe={}, epochs=60, eps=0.1) for key in keys]


def test_lines_of_a_log(jobs, capsys):
    reached = {"one": Epochs(0, 0), "two": Epochs(0, 0)}
    costs = {id(job): 10.0 for job in jobs}
    progression = Progression(costs, shown=True, reached=lambda job: reached[job.id])
    for job in jobs:
        progression.start(job)
    told = []
    for epoch in (0, 5, 6, 7, 11, 12, 59):
        reached["two"] = Epochs(epoch, 60)
        progression.wait()
        told.append(capsys.readouterr().out)
    assert [bool(line) for line in told] == [False, False, True, False, False, True, True]
    assert told[2] == "[0/2] d / b / l / two, seed 0: train (epoch 6 of 60)\n"
    progression.finish(jobs[1], None)
    progression.wait()
    line = capsys.readouterr().out
    assert line.startswith("[1/2] d / b / l / two, seed 0: train - done in 0 s; about ")
    assert line.count("\n") == 1
    progression.finish(jobs[0], "no room")
    assert "[2/2] d / b / l / one, seed 0: train - FAILED: no room\n" in capsys.readouterr().out


def test_nothing_is_shown_where_nothing_is_to_be(jobs, capsys):
    progression = Progression({id(jobs[0]): 1.0}, shown=False, reached=lambda job: Epochs(6, 60))
    progression.start(jobs[0])
    progression.wait()
    progression.finish(jobs[0], None)
    progression.close()
    assert capsys.readouterr() == ("", "")
