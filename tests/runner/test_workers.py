"""What workers start with: threads, and the precision that they attack and score in."""

import os

import pytest
import torch

from benchmark.data import Folders
from benchmark.jobs.train_job import RunContext, make_model
from benchmark.planning.grid import build_grid
from benchmark.planning.resolve import resolve
from benchmark.records.store import Store
from benchmark.runner import attacking, executor, provenance


@pytest.mark.parametrize(
    ("device", "workers", "expected"),
    [("cpu", 1, 1), ("cpu", 16, 1), ("cuda", 1, 16), ("cuda", 3, 5), ("cuda:1", 32, 1)],
)
def test_a_worker_beside_a_gpu_has_its_part_of_the_cores(tmp_path, monkeypatch, device, workers, expected):
    started = []

    class Pool:
        def __init__(self, initializer, initargs, **_):
            started.append((initializer, *initargs, *{os.environ[name] for name in executor._THREADS}))

        def close(self): ...
        def stop(self): ...
        def join(self): ...

    monkeypatch.setattr(executor, "cores", lambda: 16)
    monkeypatch.setattr(executor, "ProcessPool", Pool)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    folder = tmp_path
    place = RunContext(output=folder, cache=folder, data=folder, device=device, commit="", workers=workers)
    executor.run_jobs([], [], lambda _: 0.0, place, workers, print, print)
    assert started == [(executor._start_worker, expected, str(expected))]
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_the_threads_are_set_where_a_worker_starts(monkeypatch):
    import faiss

    before = torch.get_num_threads(), faiss.omp_get_max_threads()
    monkeypatch.setattr(executor.signal, "signal", lambda *_: None)
    try:
        executor._start_worker(3)
        assert (torch.get_num_threads(), faiss.omp_get_max_threads()) == (3, 3)
    finally:
        torch.set_num_threads(before[0])
        faiss.omp_set_num_threads(before[1])


def test_records_tell_the_threads(monkeypatch):
    assert provenance.hardware("cpu").endswith(", one thread a worker")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"a GPU at {device}")
    for threads, words in ((16, "16 threads"), (1, "one thread")):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        assert provenance.hardware("cuda").endswith(f", {words} a worker")
    assert provenance.hardware("cuda").startswith("a GPU at cuda, ")


def test_attacks_and_scores_are_in_whole_float32(tiny, tmp_path, monkeypatch):
    grid = build_grid(
        resolve({"datasets": "glyphs[classes=16,per_class=4]"}, tiny), Folders(tmp_path, tmp_path)
    )
    place = RunContext(output=tmp_path, cache=tmp_path, data=tmp_path, device="cpu", commit="")
    job = next(job for job in grid.attacks if job.attack.startswith("fgsm"))
    make_model(job.model, place, Store(tmp_path))
    seen = []

    class Watched(attacking.PoolEmbeddings):
        def attacked(self, turn=0):
            seen.append(torch.backends.cudnn.allow_tf32)
            return super().attacked(turn)

    def load(*arguments):
        model, unit = attacking_load(*arguments)
        model.register_forward_hook(lambda *_: seen.append(torch.backends.cudnn.allow_tf32))
        return model, unit

    attacking_load = attacking.load_trained
    monkeypatch.setattr(attacking, "load_trained", load)
    monkeypatch.setattr(attacking, "PoolEmbeddings", Watched)
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = True
    try:
        attacking.make_cells(job, place, Store(tmp_path))
        assert len(seen) > 5 and not any(seen)
        assert torch.backends.cudnn.allow_tf32  # trainings are left as they are
    finally:
        torch.backends.cudnn.allow_tf32 = before
