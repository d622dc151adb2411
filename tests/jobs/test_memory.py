"""Where a pool is kept while it is attacked."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmark.core.errors import BenchmarkError
from benchmark.data import DATASETS, Folders, Split
from benchmark.jobs import RunContext, attack_run, memory
from benchmark.jobs.memory import Memory, fits_on_device, memory_of_device, memory_of_host, pool_bytes
from benchmark.planning.grid import build_grid
from benchmark.planning.resolve import resolve

GB = 10**9


def jobs_of(grid):
    return [planned.job for planned in grid.attacks]


@pytest.mark.parametrize(
    ("pool", "held", "device", "host", "expected"),
    [
        (3.6, 1, 80, 120, True),  # CUB-200-2011 at 224 pixels
        (16, 1, 80, 120, True),  # In-Shop
        (16, 5, 80, 120, False),
        (36, 1, 80, 120, False),  # Stanford Online Products
        (10, 1, 38, 100, True),
        (10, 1, 37, 100, False),
        (0.001, 1, None, 1, True),
        (3.6, 1, None, 20, False),  # on the CPU, batch by batch is as fast
        (3.6, 1, None, None, True),
        (36, 0, 20, 10, False),  # nothing is attacked, so nothing is held
    ],
)
def test_a_pool_is_on_the_device_where_it_fits(pool, held, device, host, expected):
    sizes = (None if size is None else int(size * GB) for size in (device, host))
    assert fits_on_device(int(pool * GB), held, *sizes) == expected


@pytest.mark.parametrize("device", [None, 80 * GB])
def test_a_pool_that_fits_nowhere_is_one_clear_error(device):
    with pytest.raises(BenchmarkError) as caught:
        fits_on_device(36 * GB, 2, device, 60 * GB)
    message = str(caught.value)
    assert "needs 72.0 GB" in message
    assert "48.0 of the 60.0 GB that are a worker's" in message
    assert "fewer test classes" in message
    assert "\n" not in message


def test_the_size_of_a_pool(make_images):
    data = make_images(classes=3, per_class=2, shape=(3, 5, 7))
    assert pool_bytes(data) == data.images.numel() * 4


def write(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("folder", "limit", "used", "prefix", "none"),
    [
        ("sys/fs/cgroup", "memory.max", "memory.current", "", "max"),
        ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_", str(2**63 - 1)),
    ],
)
def test_memory_is_what_kernel_and_container_leave(tmp_path, folder, limit, used, prefix, none):
    assert memory_of_host(tmp_path) is None
    write(tmp_path, "proc/meminfo", "MemTotal:  9000 kB\nMemFree:  10 kB\nMemAvailable:    2000 kB\n")
    free, total = 2000 * 1024, 9000 * 1024
    assert memory_of_host(tmp_path) == (free, total)
    write(tmp_path, f"{folder}/{used}", "900000\n")
    # Files in memory give way, those of a data set that are read again and again as well.
    kept = f"anon 5\n{prefix}inactive_file 100000\n{prefix}active_file 200000\n"
    write(tmp_path, f"{folder}/memory.stat", kept)
    limits = (
        (none, (free, total)),
        ("1000000", (400000, 1000000)),
        ("99999999", (free, total)),
        ("1", (0, 1)),
    )
    for limited, expected in limits:
        write(tmp_path, f"{folder}/{limit}", limited + "\n")
        assert memory_of_host(tmp_path) == expected


def test_the_processor_is_no_device_of_its_own():
    assert memory_of_device("cpu") is None


def test_a_worker_s_part_does_not_depend_on_what_the_others_hold():
    total, workers = 64 * GB, 4
    for others in (0, 3):  # those that hold their parts already
        assert Memory(total - others * total // workers, total).part(workers) == 16 * GB
    assert Memory(5 * GB, total).part(workers) == 5 * GB


def test_copies_are_counted_on_the_device_alone():
    assert fits_on_device(GB, 1, 4 * GB, 60 * GB)
    assert not fits_on_device(GB, 1, 4 * GB, 60 * GB, copies=1)
    assert not fits_on_device(30 * GB, 1, 4 * GB, 60 * GB, copies=1)  # and fits elsewhere


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_each_worker_takes_its_part(make_images, tmp_path, monkeypatch, device):
    pool = make_images(classes=3, per_class=2)
    taken = []
    monkeypatch.setattr(memory, "memory_of_host", lambda: Memory(30, 80))
    monkeypatch.setattr(memory, "memory_of_device", lambda _: Memory(9, 12) if device == "cuda" else None)
    monkeypatch.setattr(memory, "fits_on_device", lambda *sizes: taken.append(sizes[2:4]))
    context = RunContext(output=tmp_path, cache=tmp_path, data=tmp_path, device=device, commit="", workers=4)
    assert memory.place_images(pool, None, context) is pool
    assert taken == [(3 if device == "cuda" else None, 20)]


def test_a_cell_does_not_depend_on_where_its_pool_was(tiny, tmp_path, monkeypatch):
    asked = {
        "datasets": "glyphs[classes=16,per_class=4]",
        "attacks": "pgd_decay[objective=information,steps=2],fgsm[objective=neighbour]",
        "scenarios": "clustering[fraction=0.5],retrieval-query",
    }
    grid = build_grid(resolve(asked, tiny), Folders(tmp_path, tmp_path))
    context = RunContext(output=tmp_path, cache=tmp_path, data=tmp_path, device="cpu", commit="")
    for training in {job.model.id: job.model for job in jobs_of(grid)}.values():
        training.train(context)
    assert len(jobs_of(grid)) > 4
    for job in jobs_of(grid):
        here = job.attack_and_score(job.cells, context)
        with monkeypatch.context() as patch:
            patch.setattr(memory, "fits_on_device", lambda *_: False)
            there = job.attack_and_score(job.cells, context)
        assert (here.objective, here.diagnostics) == (there.objective, there.diagnostics)
        assert (here.forward_passes, here.backward_passes) == (there.forward_passes, there.backward_passes)
        assert set(here.scores) == set(there.scores) == set(job.cells)
        for scenario, score in here.scores.items():
            other = there.scores[scenario]
            assert (score.metrics, score.diagnostics) == (other.metrics, other.diagnostics)
            for name, values in score.arrays.items():
                np.testing.assert_array_equal(values, other.arrays[name])


def test_a_cell_of_a_data_set_with_queries_of_its_own(tiny, tmp_path, monkeypatch):
    asked = {
        "datasets": "glyphs[classes=16,per_class=4]",
        "attacks": "fgsm[objective=neighbour]",
        "eps": "0.01",
    }
    grid = build_grid(resolve(asked, tiny), Folders(tmp_path, tmp_path))
    context = RunContext(output=tmp_path, cache=tmp_path, data=tmp_path, device="cpu", commit="")
    job = next(job for job in jobs_of(grid) if job.attack != "none" and job.model.key.defense == "vanilla")
    job.model.train(context)
    split = attack_run.load_data(job.model.key.dataset, context.folders)
    queries = torch.arange(len(split.test)) % 4 != 0
    with_roles = Split(split.train, replace(split.test, queries=queries))
    monkeypatch.setattr(attack_run, "load_data", lambda *_: with_roles)
    monkeypatch.setattr(DATASETS.get("glyphs"), "recall_ks", (1, 3))
    score = job.attack_and_score(job.cells, context).scores["retrieval-query"]
    arrays = score.arrays
    assert {"r1", "r3"} < set(score.metrics) and "r2" not in score.metrics
    assert arrays["queries"].tolist() == queries.nonzero().flatten().tolist()
    # So the attack looked at the gallery alone, as the scenario does.
    np.testing.assert_array_equal(arrays["success"] == 1, arrays["objective"] < 0)
    assert 0 < score.metrics["r1"] < 1


def test_a_pool_that_fits_nowhere_is_reported_before_the_attack(tiny, tmp_path, monkeypatch):
    asked = {"datasets": "glyphs[classes=16,per_class=4]", "attacks": "noise"}
    grid = build_grid(resolve(asked, tiny), Folders(tmp_path, tmp_path))
    context = RunContext(output=tmp_path, cache=tmp_path, data=tmp_path, device="cpu", commit="")
    for training in {job.model.id: job.model for job in jobs_of(grid)}.values():
        training.train(context)
    monkeypatch.setattr(memory, "memory_of_host", lambda: Memory(1000, 1000))
    for job in jobs_of(grid):
        if job.attack == "none":
            assert job.attack_and_score(job.cells, context).scores
        else:
            with pytest.raises(BenchmarkError, match="GB of memory for its images"):
                job.attack_and_score(job.cells, context)
