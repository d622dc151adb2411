"""Jobs on real worker processes: what becomes of jobs whose workers die, and of runs that are stopped."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from benchmark.core.errors import BenchmarkError, SourceError, Stopped
from benchmark.core.source import ROOT
from benchmark.jobs import RunContext
from benchmark.runner import supervisor
from benchmark.runner.executor import run_jobs, run_on_pool
from benchmark.runner.job_watcher import JobWatcher
from benchmark.runner.pool import LocalPool
from benchmark.runner.workers import start_worker

from .dummy_jobs import DummyJob, executed, record_of, run, value_of

pytestmark = pytest.mark.slow  # each starts worker processes


LONG = 120
"""Seconds that a process may take, on a machine with much else to do."""


def files(folder):
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"source": "other"}, "imported the benchmark from"),
        ({"plugin_source": "other"}, "plugin's files changed"),
    ],
)
def test_a_worker_with_other_code_ends_the_run(tmp_path, given, reason):
    with pytest.raises(SourceError, match=reason):
        run(tmp_path, [DummyJob("a")], **given)
    assert not executed(tmp_path)
    assert not record_of("a", tmp_path)


def test_a_worker_with_the_same_code_computes_and_leaves_nothing_else(tmp_path):
    assert run(tmp_path, [DummyJob("a")]) == {"a": None}
    assert sorted(files(tmp_path)) == ["executed.txt", "records/a.json"]


def test_what_failed_in_an_earlier_run_is_not_taken_for_another_runs_result(tmp_path):
    assert run(tmp_path, [DummyJob("a", "raises")])["a"].startswith("ValueError: a bug")
    assert run(tmp_path, [DummyJob("a")]) == {"a": None}
    assert executed(tmp_path) == ["a", "a"]


def test_a_failure_reaches_the_jobs_that_need_it_through_others(tmp_path):
    jobs = [
        DummyJob("last", needs={"second": "training of second"}),
        DummyJob("second", needs={"first": "training of first"}),
        DummyJob("first", "raises"),
    ]
    reasons = run(tmp_path, jobs)
    assert reasons["first"] == "ValueError: a bug (traceback in store/logs/first.txt)"
    assert reasons["second"] == f"training of first failed: {reasons['first']}"
    assert reasons["last"] == f"training of second failed: {reasons['second']}"
    assert "in _raise" in (tmp_path / record_of("first", tmp_path)["log"]).read_text()


def test_what_a_worker_dies_of_is_recorded_and_the_rest_goes_on(tmp_path):
    """One run for all, because starting workers takes most of the time."""
    acts = ["is_killed", "exits_with_0", "segfaults", "returns_a_function", "sleeps", "dies_when_done"]
    acts += ["forks", "forks_and_returns", "interrupts"]
    jobs = [DummyJob(name, name) for name in acts] + [DummyJob(f"j{number}") for number in range(3)]
    reasons = run(tmp_path, jobs, workers=2, job_timeout=1.0)
    assert reasons.pop("is_killed") == "The worker died (killed by SIGKILL; out of memory?)."
    assert reasons.pop("exits_with_0") == "The worker died (exit code 0)."
    crash = "The worker died (killed by SIGSEGV) (traceback in store/logs/segfaults.txt)."
    assert reasons.pop("segfaults") == crash
    assert "The job's result cannot be sent: " in reasons.pop("returns_a_function")
    late = reasons.pop("sleeps")
    assert late.startswith("The job was stopped after ")
    assert late.endswith(" s (--job-timeout 1) (traceback in store/logs/sleeps.txt).")
    assert reasons.pop("interrupts") == "KeyboardInterrupt"
    assert (reasons.pop("forks"), reasons.pop("forks_and_returns")) == (None, None)
    assert reasons == {"dies_when_done": None, "j0": None, "j1": None, "j2": None}
    assert record_of("segfaults", tmp_path)["reason"] == crash
    for name, line in (("segfaults", "in _segfault"), ("sleeps", "in <lambda>")):
        assert line in (tmp_path / record_of(name, tmp_path)["log"]).read_text()
    assert len(executed(tmp_path)) == len(jobs)
    assert not list(tmp_path.glob("store/logs/forks*"))
    assert not record_of("is_killed", tmp_path)["log"]


def test_the_process_that_workers_are_forked_from_may_die(tmp_path):
    jobs = [DummyJob("a", "kills_server"), DummyJob("b"), DummyJob("k", "is_killed"), DummyJob("z")]
    reasons = run(tmp_path, jobs)
    assert reasons.pop("k") == "The worker died (for an unknown reason)."
    assert reasons == {"a": None, "b": None, "z": None}


def killed_at_start(times):
    """Starts workers of which the first few are killed before they take a job."""
    left = [times]

    def start(threads):
        process, connection = start_worker(threads)
        if left[0]:
            left[0] -= 1
            os.kill(process.pid, signal.SIGKILL)
            process.join()
        return process, connection

    return start


@pytest.fixture
def start_with(monkeypatch):
    def start_with(start):
        monkeypatch.setattr(supervisor.Supervisor.__init__, "__defaults__", (start,))

    return start_with


def test_workers_that_die_before_they_take_a_job_cost_nothing(tmp_path, start_with):
    start_with(killed_at_start(3))
    assert run(tmp_path, [DummyJob("a"), DummyJob("b")], workers=2) == {"a": None, "b": None}
    assert sorted(executed(tmp_path)) == ["a", "b"]


def test_a_run_whose_workers_all_die_at_once_ends_with_one_line(tmp_path, start_with):
    start_with(killed_at_start(1000))
    with pytest.raises(BenchmarkError, match="6 workers in a row ended before they began a job"):
        run(tmp_path, [DummyJob("a"), DummyJob("b")], workers=2)
    assert not record_of("a", tmp_path)


def start(output, **options):
    """Starts a run of dummy jobs in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.runner.dummy_jobs", str(output), json.dumps(options)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition, seconds=LONG):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_lets_running_trainings_save(tmp_path, signum, status):
    process = start(tmp_path, jobs=3, job={"resumable": True, "seconds": 2 * LONG})
    wait_for(lambda: executed(tmp_path))
    process.send_signal(signum)
    _, said = process.communicate(timeout=LONG)
    assert process.returncode == status
    assert said.startswith("Stopping. 1 running jobs save their state, trainings at the end of their epoch")
    assert executed(tmp_path) == ["j0"]
    assert (tmp_path / "j0.saved").exists()
    assert not record_of("j0", tmp_path)
    assert not files(tmp_path / "store")


def test_the_first_signal_abandons_what_cannot_save(tmp_path):
    process = start(tmp_path, jobs=3, job={"seconds": 2 * LONG})
    wait_for(lambda: executed(tmp_path))
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=LONG)
    assert process.returncode == 130
    assert said == "Stopping.\n"
    assert not (tmp_path / "records").exists()
    assert not files(tmp_path / "store")


def test_what_has_not_saved_within_its_grace_is_abandoned(tmp_path):
    job = {"resumable": True, "seconds": 2 * LONG, "deaf": True, "grace": 0.5}
    process = start(tmp_path, jobs=3, job=job)
    wait_for(lambda: executed(tmp_path))
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=LONG)
    assert process.returncode == 130
    assert said.startswith("Stopping. 1 running jobs save their state")
    assert executed(tmp_path) == ["j0"]
    assert not (tmp_path / "records").exists()
    assert not files(tmp_path / "store")


def test_the_second_signal_stops_at_once(tmp_path):
    process = start(tmp_path, jobs=3, job={"resumable": True, "seconds": 2 * LONG, "deaf": True})
    wait_for(lambda: executed(tmp_path))
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=LONG)
    assert process.returncode == 130
    assert not (tmp_path / "j0.saved").exists()


def test_a_signal_as_late_as_when_the_workers_end_is_heeded(tmp_path):
    class EndsLate(LocalPool):
        def __exit__(self, *how):
            super().__exit__(*how)
            signal.raise_signal(signal.SIGTERM)

    def execute(jobs, costs, context, workers, watcher):
        run_on_pool(EndsLate(workers, context), jobs, costs, context, watcher)

    with pytest.raises(Stopped) as stopped:
        run(tmp_path, [DummyJob("a")], execute=execute)
    assert stopped.value.exit_status == 143
    assert executed(tmp_path) == ["a"]


def test_two_runs_in_one_folder_share_the_work(tmp_path):
    runs = [start(tmp_path, jobs=30, job={"seconds": 0.1}) for _ in range(2)]
    said = [process.communicate(timeout=LONG) for process in runs]
    assert [json.loads(out) for out, _ in said] == 2 * [{f"j{number}": None for number in range(30)}]
    assert sorted(executed(tmp_path)) == sorted(f"j{number}" for number in range(30))
    assert any("works in this folder too" in errors for _, errors in said)
    assert not files(tmp_path / "store")


def test_a_run_takes_over_from_one_that_was_killed(tmp_path):
    runs = [start(tmp_path, jobs=12, job={"seconds": 0.2}, patience=5.0) for _ in range(2)]
    wait_for(lambda: len(executed(tmp_path)) >= 4)
    runs[0].kill()
    runs[0].communicate()
    out, _ = runs[1].communicate(timeout=LONG)
    names = [f"j{number}" for number in range(12)]
    assert json.loads(out) == dict.fromkeys(names)
    assert {name: record_of(name, tmp_path)["value"] for name in names} == {n: value_of(n) for n in names}
    assert 12 <= len(executed(tmp_path)) <= 13  # only the killed run's job was begun twice
    assert not files(tmp_path / "store")


def test_a_run_outside_the_main_thread_leaves_signals_alone(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    reasons = {}
    thread = threading.Thread(target=lambda: reasons.update(run(tmp_path, [DummyJob("a")])))
    thread.start()
    thread.join()
    assert reasons == {"a": None}
    assert signal.getsignal(signal.SIGINT) is before


def test_progress_comes_from_the_worker_about_every_second_and_at_the_end(tmp_path):
    told = []
    context = RunContext(output=tmp_path, cache=tmp_path, data=tmp_path, device="cpu", commit="")
    jobs = [DummyJob("a", "reports"), DummyJob("b")]
    started = time.monotonic()

    class Told(JobWatcher):
        def finish(self, job, reason):
            told.append((job.id, reason))

        def report(self, job, progress):
            told.append((job.id, progress.done))

    run_jobs(jobs, {"a": 1.0, "b": 1.0}, context, 1, Told())
    seconds = time.monotonic() - started
    of_a = [what for name, what in told if name == "a"]
    assert of_a[-1] is None  # it ended after all that it said
    assert of_a[-2] == 49
    assert of_a[:-1] == sorted(of_a[:-1])
    assert 2 <= len(of_a[:-1]) <= seconds + 2
    assert [what for name, what in told if name == "b"] == [None]
