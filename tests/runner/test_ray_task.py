"""When a job on a Ray cluster is taken to be late."""

import time

import pytest

from benchmark.jobs import RunContext
from benchmark.jobs.job import log_file
from benchmark.runner.ray_node import Begun
from benchmark.runner.ray_task import RayTask

from .dummy_jobs import DummyJob


@pytest.fixture
def late(tmp_path):
    """Makes a task whose job has run so many seconds of the ten that it may."""

    def make(seconds, shares=True):
        context = RunContext(
            output=tmp_path, cache=tmp_path, data=tmp_path, device="cpu", commit="", job_timeout=10.0
        )
        begun = Begun("here", "id", shares), time.monotonic() - seconds
        return RayTask(DummyJob("sleeps"), context, stream=None, has_files=False, begun=begun)

    return make


def test_a_late_job_is_ended_once_it_has_written_where_it_is(late):
    assert not late(9).is_overdue
    task = late(12)
    assert not task.is_overdue
    log = log_file(task.job.id, task.context.store)
    log.parent.mkdir(parents=True)
    log.touch()
    assert not task.is_overdue
    log.write_text("in <lambda>")
    assert task.is_overdue
    assert not late(10.1).is_overdue  # it may be about to end


def test_a_late_job_that_writes_nothing_is_ended_all_the_same(late):
    assert late(25).is_overdue
    assert late(12, shares=False).is_overdue  # its log is on another machine
    task = late(25)
    task.begun = None
    assert not task.is_overdue
