from dataclasses import dataclass, field
from pathlib import Path

import pytest

from benchmark.core.errors import UsageError
from benchmark.loggers import LOGGERS, RunLogger
from benchmark.planning.todo import Todo
from benchmark.runner.record_logs import RecordLogs, check_loggers

from ..loggers.records import CELL_TAG, MODEL_TAG, Written, cell, training


@dataclass(frozen=True)
class Job:
    id: str
    cells: dict = field(default_factory=dict)


class FakeStore:
    output = Path("out")

    def model(self, model_id):
        return training() if model_id == "m" else None

    def cell(self, cell_id):
        return cell() if cell_id == "c" else None


TODO = Todo([Job("m")], [Job("c", {"retrieval-query": "c", "clustering": "d"})], [], 2, 0)


@pytest.fixture
def written():
    """A logger that keeps what it is given, under the name `kept`, and one that fails, `broken`."""
    found = Written()

    @LOGGERS.register("kept")
    class Kept(RunLogger):
        def open(self, output, config):
            return found

    @LOGGERS.register("broken")
    class Broken(RunLogger):
        def open(self, output, config):
            broken = Written()
            broken.value = lambda tag, value: 1 / 0
            return broken

    yield found
    LOGGERS.forget("kept")
    LOGGERS.forget("broken")


def test_finished_jobs_are_logged_from_their_records(written):
    with RecordLogs(["kept"], TODO, FakeStore(), {}) as logs:
        logs.finish(Job("m"), None)
        assert f"{MODEL_TAG}/loss" in written.curves
        assert f"{CELL_TAG}/r1" not in written.values
        logs.finish(Job("c"), None)
        assert written.values[f"{CELL_TAG}/r1"] == 0.75
    assert written.closed


def test_failures_are_not_logged(written):
    with RecordLogs(["kept"], TODO, FakeStore(), {}) as logs:
        logs.finish(Job("m"), "no room")
        logs.finish(Job("another"), None)
    assert written.curves == written.values == {}


def test_a_logger_that_fails_costs_a_line_and_no_other(written, capsys):
    with RecordLogs(["broken", "kept"], TODO, FakeStore(), {}) as logs:
        logs.finish(Job("m"), None)
        logs.finish(Job("c"), None)
    assert capsys.readouterr().err == (
        "--log broken is given up (ZeroDivisionError: division by zero); the run goes on.\n"
    )
    assert CELL_TAG + "/r1" in written.values


def test_an_unknown_logger():
    with pytest.raises(UsageError, match=r"Unknown logger 'tensorbord'\. Did you mean 'tensorboard'"):
        check_loggers(["tensorbord"])


def test_without_loggers_nothing_is_read():
    class Unread(FakeStore):
        def model(self, model_id):
            raise AssertionError

    with RecordLogs([], TODO, Unread(), {}) as logs:
        logs.finish(Job("m"), None)
