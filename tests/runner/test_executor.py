"""A worker with other code than its run ends the run, and writes nothing."""

import pytest

from benchmark.core.errors import SourceError
from benchmark.jobs import RunContext
from benchmark.records import ModelKey
from benchmark.runner.executor import run_jobs

KEY = ModelKey(dataset="digits", backbone="smallconv", loss="proxy_anchor", defense="vanilla", seed=0)


class FakeJob:
    """A job that leaves a file where it ran, and another where it failed."""

    id, key, label, needs = "fake", KEY, "fake", {}  # like the properties of jobs

    def execute(self, context):
        (context.output / "executed").touch()

    def fail(self, reason, context, status="failed"):
        (context.output / "failed").write_text(reason)
        return reason


class InChain(FakeJob):
    """A job that needs another, and fails where it has none."""

    def __init__(self, name, before):
        self.id = self.label = name
        self.needs = {before: f"training of {before}"} if before else {}

    def execute(self, context):
        return "the loss is nan"


def run(folder, jobs=None, **given):
    context = RunContext(output=folder, cache=folder, data=folder, device="cpu", commit="", **given)
    finished = []
    jobs = jobs or [FakeJob()]
    costs = dict.fromkeys((job.id for job in jobs), 1.0)
    run_jobs(jobs, costs, context, 1, lambda job: None, lambda job, reason: finished.append(reason))
    return finished


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"source": "other"}, "imported the benchmark from"),
        ({"plugin_source": "other"}, "plugin's files changed"),
    ],
)
def test_a_worker_with_other_code_ends_the_run(tmp_path, given, reason):
    with pytest.raises(SourceError, match=reason):
        run(tmp_path, **given)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_worker_with_the_same_code_computes(tmp_path):
    assert run(tmp_path) == [None]
    assert [path.name for path in tmp_path.iterdir()] == ["executed"]


@pytest.mark.slow
def test_a_failure_reaches_the_jobs_that_need_it_through_others(tmp_path):
    jobs = [InChain("last", "second"), InChain("second", "first"), InChain("first", None)]
    assert run(tmp_path, jobs) == [
        "the loss is nan",
        "training of first failed: the loss is nan",
        "training of second failed: training of first failed: the loss is nan",
    ]
