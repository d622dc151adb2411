"""Worker processes: threads, the code that they run, and what becomes of them."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys

import pytest
import torch

from benchmark.core.source import PACKAGES, ROOT
from benchmark.jobs import RunContext
from benchmark.runner import workers
from benchmark.runner.serve import Answer, Said

from .dummy_jobs import DummyJob


@pytest.mark.parametrize(
    ("device", "count", "expected"),
    [("cpu", 1, 1), ("cpu", 16, 1), ("cuda", 1, 16), ("cuda", 3, 5), ("cuda:1", 32, 1)],
)
def test_a_worker_beside_a_gpu_has_its_part_of_the_cores(monkeypatch, device, count, expected):
    monkeypatch.setattr(workers, "cores", lambda: 16)
    assert workers.threads_of_worker(device, count) == expected


def ask(job, tmp_path, threads=1):
    """What a job finds on a worker."""
    context = RunContext(output=tmp_path, cache=tmp_path, data=tmp_path, device="cpu", commit="")
    with workers.worker_environment(threads):
        process, connection = workers.start_worker(threads)
    connection.send((job, context))
    assert connection.recv() == Answer(Said.BEGUN)
    answer = connection.recv()
    connection.close()
    process.join(60)
    assert process.exitcode == 0  # it ends when its connection does
    return json.loads(answer.reason)


class Asks(DummyJob):
    """A job that tells what it finds, in place of a reason."""

    def execute(self, context):
        import faiss

        threads = torch.get_num_threads(), faiss.omp_get_max_threads()
        for signum in (signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), signum)  # as to the whole group
        with multiprocessing.get_context("fork").Pool(2) as pool:  # as a model may; terminated at the end
            lengths = pool.map(len, ["a", "bc"])
        return json.dumps({"modules": sorted(sys.modules), "threads": threads, "lengths": lengths})


@pytest.mark.slow
def test_workers_start_with_what_jobs_need_imported(tmp_path):
    found = set(ask(Asks("a"), tmp_path)["modules"])
    assert found >= {"faiss", "sklearn.metrics", "pytorch_metric_learning.losses", "benchmark.jobs"}
    assert not found & {"torchvision", "timm", "matplotlib.figure", "openTSNE", "optuna"}


@pytest.mark.slow
def test_workers_start_with_their_threads_and_leave_signals_to_the_run(monkeypatch, tmp_path):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    found = ask(Asks("a"), tmp_path, threads=3)
    assert found["threads"] == [3, 3]
    assert found["lengths"] == [1, 2]
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_what_workers_are_forked_from_starts_ahead_with_their_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    found = []
    monkeypatch.setattr(
        workers, "_context", lambda module: found.append((os.environ["OMP_NUM_THREADS"], module))
    )
    for trains in (False, True):
        workers.start_ahead(3, trains)
    assert found == [("3", "benchmark.runner.preload"), ("3", "benchmark.runner.preload_training")]
    assert os.environ["OMP_NUM_THREADS"] == "7"


class Refuses:
    """A context of processes whose first starts are refused, as by a server that was killed a moment ago."""

    def __init__(self, times):
        self.left = times

    def Pipe(self):  # noqa: N802
        return multiprocessing.Pipe()

    def Process(self, **options):  # noqa: N802
        return self

    def start(self):
        if self.left:
            self.left -= 1
            raise ConnectionRefusedError


@pytest.mark.parametrize("times", [0, 1, 8])
def test_a_start_that_is_refused_is_tried_again(monkeypatch, times):
    monkeypatch.setattr(workers, "_PAUSES", (0.0,) * 8)
    context = Refuses(times)
    monkeypatch.setattr(workers, "_context", lambda: context)
    _, connection = workers.start_worker(1)
    connection.close()
    assert context.left == 0


def test_a_start_that_is_always_refused_ends(monkeypatch):
    monkeypatch.setattr(workers, "_PAUSES", (0.0,) * 8)
    context = Refuses(9)
    monkeypatch.setattr(workers, "_context", lambda: context)
    with pytest.raises(ConnectionRefusedError):
        workers.start_worker(1)


@pytest.fixture
def other_copy(tmp_path):
    """Another copy of the project, whose plain training does something else."""
    for name in (*PACKAGES, "run_benchmark.py"):
        source, target = ROOT / name, tmp_path / "other" / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    vanilla = tmp_path / "other" / "defenses" / "vanilla.py"
    source = vanilla.read_text()
    assert source.count("return member.loss(") == 1
    vanilla.write_text(source.replace("return member.loss(", "return 0 * member.loss("))
    return tmp_path / "other"


@pytest.mark.slow
def test_workers_run_the_code_that_was_called_whatever_the_working_directory_holds(
    tiny, tmp_path, other_copy
):
    """The one as the parent of the other, and the other way round: values differ, and each gets its own."""
    curves = {}
    for script, folder in ((ROOT, other_copy), (other_copy, ROOT)):
        output = tmp_path / f"{script.name}-in-{folder.name}"
        command = [sys.executable, str(script / "run_benchmark.py"), "--config", str(tiny)]
        done = subprocess.run(
            [*command, "--output", str(output), "--no-progress"],
            cwd=folder,
            env={**os.environ, "DML_BENCHMARK_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        (curves[script, folder],) = {
            record["curve"][0]
            for path in (output / "store" / "models").glob("*.json")
            if (record := json.loads(path.read_text()))["key"]["defense"] == "vanilla"
        }
    assert curves[other_copy, ROOT] == 0
    assert curves[ROOT, other_copy] > 0


@pytest.mark.slow
def test_what_trainings_need_is_imported_only_for_them():
    """An attack needs no optimizer of torch, whose first step imports its compiler."""
    imported = "import sys, benchmark.runner.preload{}; print('torch._dynamo' in sys.modules)"
    for module, there in (("", "False"), ("_training", "True")):
        done = subprocess.run(
            [sys.executable, "-c", imported.format(module)], cwd=ROOT, capture_output=True, text=True
        )
        assert done.stdout.strip() == there, done.stderr
