"""Jobs on a real Ray cluster of two node processes on this machine."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from importlib.util import find_spec

import pandas as pd
import pytest
import yaml

from benchmark.cli import main
from benchmark.core.errors import StopRunError, UsageError
from benchmark.core.source import ROOT
from benchmark.runner import ray_executor, ray_pool
from benchmark.runner.executor import run_on_pool
from benchmark.runner.ray_cluster import connect, load_ray, nodes

from ..conftest import TINY
from .dummy_jobs import DummyJob, executed, record_of, run, value_of

if find_spec("ray") is None:
    pytest.skip("Ray is not installed; it is the extra [ray]", allow_module_level=True)
ray = load_ray()
pytestmark = [
    pytest.mark.first,
    pytest.mark.slow,  # a cluster takes seconds to start
    pytest.mark.usefixtures("without_figures"),
]

NODE = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}
"""Of each node process."""


@pytest.fixture(scope="module")
def cluster():
    """A cluster of a head and another node; this process is connected to it."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        # Ray's workers give way to all others (nice 15), which would be other tests for minutes.
        patch.setenv("RAY_worker_niceness", "0")
        cluster = Cluster(initialize_head=True, head_node_args=NODE)
        cluster.add_node(**NODE)
        try:
            connect(cluster.address)
            yield cluster
        finally:
            ray.shutdown()
            cluster.shutdown()


@pytest.fixture
def unshared(monkeypatch):
    """Lets every node find that the output folder of the run is not there."""
    monkeypatch.setattr(ray_pool, "mark_of", lambda context: "/nowhere/mark")


def on_ray(cluster, jobs, costs, context, workers, watcher):
    pool = ray_executor.make_pool(jobs, context, workers, cluster.address, 0.1)
    run_on_pool(pool, jobs, costs, context, watcher)


@pytest.fixture
def run_on_ray(cluster, tmp_path):
    return partial(run, tmp_path, workers=8, execute=partial(on_ray, cluster))


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def files(folder):
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]


def test_jobs_run_on_both_nodes_and_leave_nothing_else(run_on_ray, tmp_path):
    jobs = [DummyJob(f"j{number}", seconds=0.3) for number in range(8)]
    jobs.append(DummyJob("last", needs={"j0": "training of j0"}))
    assert run_on_ray(jobs) == {job.id: None for job in jobs}
    assert sorted(executed(tmp_path)) == sorted(job.id for job in jobs)
    assert {job.id: record_of(job.id, tmp_path)["value"] for job in jobs} == {
        job.id: value_of(job.id) for job in jobs
    }
    assert sorted(files(tmp_path)) == sorted(["executed.txt", *(f"records/{job.id}.json" for job in jobs)])


def test_what_a_worker_dies_of_is_recorded_and_the_rest_goes_on(run_on_ray, tmp_path):
    acts = ["raises", "is_killed", "segfaults", "returns_a_function", "sleeps", "dies_when_done"]
    jobs = [
        *(DummyJob(name, name) for name in acts),
        DummyJob("after", needs={"raises": "training of raises"}),
    ]
    reasons = run_on_ray(jobs, job_timeout=6.0)  # time enough for the others to die of themselves
    assert reasons.pop("raises") == "ValueError: a bug (traceback in store/logs/raises.txt)"
    assert reasons.pop("after").startswith("training of raises failed: ValueError")
    assert reasons.pop("is_killed").startswith("The worker on ")
    assert reasons.pop("segfaults").endswith(" died (traceback in store/logs/segfaults.txt).")
    assert reasons.pop("returns_a_function")
    late = reasons.pop("sleeps")
    assert late.startswith("The job was stopped after ")
    assert late.endswith(" s (--job-timeout 6) (traceback in store/logs/sleeps.txt).")
    assert reasons == {"dies_when_done": None}
    assert "in <lambda>" in (tmp_path / record_of("sleeps", tmp_path)["log"]).read_text()
    assert len(executed(tmp_path)) == 6


@pytest.mark.usefixtures("unshared")
def test_without_a_shared_folder_results_are_sent_back(run_on_ray, tmp_path):
    reasons = run_on_ray([DummyJob("a"), DummyJob("bad", "raises"), DummyJob("z", needs={"a": "training"})])
    assert reasons.pop("bad") == "ValueError: a bug (traceback in store/logs/bad.txt)"
    assert reasons == {"a": None, "z": None}
    assert record_of("z", tmp_path)["value"] == value_of("z")
    assert "in _raise" in (tmp_path / "store/logs/bad.txt").read_text()


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"source": "other"}, r"On node .*\d\): A worker imported the benchmark from"),
        ({"plugin_source": "other"}, r"On node .*\d\): A plugin's files changed"),
    ],
)
def test_a_node_with_other_code_ends_the_run(run_on_ray, tmp_path, given, reason):
    with pytest.raises(StopRunError, match=reason):
        run_on_ray([DummyJob("a")], **given)
    assert not executed(tmp_path)
    assert not record_of("a", tmp_path)


@pytest.fixture
def doomed(cluster, monkeypatch):
    """A third node, which is killed when a job has begun on it; returns the list that then holds its id."""
    node = cluster.add_node(**NODE)
    listen, killed = ray_pool.RayPool._listen, []

    def listening(pool, task):
        ended = listen(pool, task)
        if not killed and task.begun and task.begun[0].node_id == node.node_id:
            killed.append(node.node_id)
            cluster.remove_node(node, allow_graceful=False)
        return ended

    monkeypatch.setattr(ray_pool.RayPool, "_listen", listening)
    yield killed
    if not killed:
        cluster.remove_node(node)


def test_a_job_whose_nodes_are_lost_again_and_again_fails(run_on_ray, tmp_path, doomed, monkeypatch):
    monkeypatch.setattr(ray_pool, "_LOSSES", 1)
    jobs = [DummyJob(f"j{number}", seconds=2.0) for number in range(4)]
    reasons = [reason for reason in run_on_ray(jobs).values() if reason]
    assert doomed
    assert len(reasons) == 1
    assert reasons[0].startswith("The job was given up: its node was lost, 1 times, the last time node ")


def real_run(tmp_path, tiny, name, *arguments):
    """Runs a tiny grid with attacks that follow others, and returns its values."""
    output = tmp_path / name
    # Three trainings, so that each of three nodes gets one.
    given = ["--attacks", "cascade", "--defenses", "vanilla", "--seeds", "0", "1", "2", "--no-progress"]
    assert main(["--config", str(tiny), *given, "--output", str(output), *arguments]) == 0
    cells = pd.read_csv(output / "cells.csv").drop(columns=["seconds", "commit"])
    return cells.sort_values(list(cells.columns[:11])).reset_index(drop=True)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What the tiny grid gives on this machine alone; made in the first test, which draws no figures."""
    made = []

    def make():
        if not made:
            folder = tmp_path_factory.mktemp("local")
            config = folder / "tiny.yaml"
            config.write_text(yaml.safe_dump(TINY))
            made.append(real_run(folder, config, "local"))
        return made[0]

    return make


@pytest.mark.parametrize("shared", [True, False])
def test_a_real_grid_is_complete_and_equal_when_a_node_is_lost(
    cluster, tmp_path, tiny, undisturbed, doomed, shared, request, capfd
):
    if not shared:
        request.getfixturevalue("unshared")
    cells = real_run(tmp_path, tiny, "ray", "--executor", "ray", "--ray-address", cluster.address)
    assert doomed
    said = capfd.readouterr()
    assert said.err.count("its node was lost (node ") == 1  # the job is sent again
    assert "ray" not in said.err.replace(str(tmp_path), "").lower()  # nor does Ray say anything
    assert set(cells.status) == {"done"}
    pd.testing.assert_frame_equal(cells, undisturbed())
    assert not files(tmp_path / "ray" / "store" / "leases")
    assert not files(tmp_path / "ray" / "store" / "unfinished")


@pytest.fixture
def start(cluster):
    """Starts a run of dummy jobs on the cluster, in a process and a process group of its own."""
    started = []

    def start(output, **options):
        options["executor"] = f"ray[address={cluster.address}]"
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "tests.runner.dummy_jobs", str(output), json.dumps(options)],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:  # the test has failed
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_the_first_signal_lets_running_trainings_save(start, tmp_path):
    process = start(tmp_path, jobs=1, workers=2, job={"resumable": True, "seconds": 200})
    wait_for(lambda: executed(tmp_path))
    os.killpg(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert said.startswith("Stopping. 1 running ")
    assert said.count("\n") == 1
    assert (tmp_path / "j0.saved").exists()
    assert not record_of("j0", tmp_path)
    assert not files(tmp_path / "store")


def test_the_first_signal_abandons_what_cannot_save(start, tmp_path):
    process = start(tmp_path, jobs=2, workers=2, job={"seconds": 200})
    wait_for(lambda: executed(tmp_path))
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == "Stopping.\n"
    assert not files(tmp_path / "store")
    wait_for(lambda: ray.available_resources().get("CPU") == ray.cluster_resources()["CPU"])


def test_a_run_on_ray_and_a_local_one_share_the_work(run_on_ray, tmp_path):
    jobs = [DummyJob(f"j{number}", seconds=0.3) for number in range(20)]
    local = {}
    thread = threading.Thread(target=lambda: local.update(run(tmp_path, jobs)))
    thread.start()
    reasons = run_on_ray(jobs)
    thread.join()
    assert reasons == local == {job.id: None for job in jobs}
    assert sorted(executed(tmp_path)) == sorted(job.id for job in jobs)


def test_gpus_of_a_cluster_without_any_are_refused(cluster):
    with pytest.raises(UsageError, match="no node of the Ray cluster has a GPU"):
        ray_executor.choose_device("cuda", cluster.address, dry=False)
    assert ray_executor.choose_device("auto", cluster.address, dry=False) == "cpu"
    assert len(nodes()) >= 2
