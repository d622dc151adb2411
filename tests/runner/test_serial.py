import os
import threading
from dataclasses import dataclass, field

import faiss
import pytest
import torch

from benchmark.jobs import RunContext
from benchmark.records import ModelKey
from benchmark.runner.serial import run_serially

from .noting import Noting

KEY = ModelKey(dataset="digits", backbone="smallconv", loss="proxy_anchor", defense="vanilla", seed=0)


@dataclass
class FakeJob:
    id: str
    needs: dict = field(default_factory=dict)
    error: BaseException | None = None
    key: ModelKey = KEY
    label: str = "fake"
    seen: list = field(default_factory=list)

    def execute(self, context):
        self.seen.append((os.getpid(), threading.get_ident(), torch.get_num_threads()))
        if self.error:
            raise self.error

    def fail(self, reason, context, status="failed", log=""):
        return reason


@pytest.fixture
def run(tmp_path):
    def run(*jobs):
        context = RunContext(output=tmp_path, cache=tmp_path, data=tmp_path, device="cpu", commit="")
        watcher = Noting()
        run_serially(
            jobs,
            {job.id: float(job.id[1:]) for job in jobs},
            context,
            4,
            watcher,
        )
        return watcher.log

    return run


def test_runs_what_is_needed_first_then_costly_jobs(run):
    jobs = [FakeJob("a9", {"t1": "training"}), FakeJob("t1"), FakeJob("t2")]
    assert [entry for entry in run(*jobs) if isinstance(entry, str)] == ["t2", "t1", "a9"]


def test_jobs_run_here_with_a_workers_threads_which_are_restored(run):
    job = FakeJob("t1")
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    faiss.omp_set_num_threads(3)
    try:
        run(job)
        assert job.seen == [(os.getpid(), threading.get_ident(), 1)]
        assert torch.get_num_threads() == faiss.omp_get_max_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_failed_job_takes_those_that_need_it_with_it(run):
    log = run(FakeJob("t1", error=RuntimeError("no")), FakeJob("t2", {"t1": "teacher"}), FakeJob("a3"))
    reasons = dict(entry for entry in log if isinstance(entry, tuple))
    assert reasons["t1"].startswith("RuntimeError: no (traceback in ")
    assert reasons["t2"] == f"teacher failed: {reasons['t1']}"
    assert reasons["a3"] is None


def test_an_interrupt_ends_the_run(run):
    with pytest.raises(KeyboardInterrupt):
        run(FakeJob("t1", error=KeyboardInterrupt()))
