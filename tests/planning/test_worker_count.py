"""How many workers a run gets: many where the network is small, one where it fills the GPU."""

import pytest
import torch

from benchmark.data import Folders
from benchmark.jobs import TrainJob
from benchmark.models import BACKBONES
from benchmark.planning import worker_count
from benchmark.planning.worker_count import Gpu, Load, count_workers, measure_load, workers_of_gpu
from benchmark.records import ModelKey
from benchmark.training import Recipe

LARGE_GPU = Gpu(multiprocessors=132, free=80 * 10**9)
GB = 10**9


def training(backbone="smallconv", dataset="digits", defense="vanilla"):
    key = ModelKey(dataset=dataset, backbone=backbone, loss="proxy_anchor", defense=defense, seed=0)
    return TrainJob(id="1", key=key, recipe=Recipe(), epochs=1, eps=0.1)


def test_a_load_counts_passes_layers_and_outputs():
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3, padding=1), torch.nn.Flatten())
    load = measure_load(network, (1, 8, 8), 100)
    assert load == Load(flops=2 * 256 * 2 * 9 * 2 * 64, layers=2, activations=300 * 2 * 4 * 2 * 64)


def test_smallconv_gets_several_workers_of_a_large_gpu():
    network = BACKBONES.build("smallconv").build_random((1, 28, 28))
    assert 4 <= workers_of_gpu(measure_load(network, (1, 28, 28), 64), LARGE_GPU, 16) <= 8


def test_a_network_that_fills_the_gpu_gets_one_worker():
    resnet50 = Load(flops=2 * 47 * 8.2e9, layers=160, activations=47 * 10**8)
    assert workers_of_gpu(resnet50, LARGE_GPU, 16) == 1


@pytest.mark.parametrize(
    ("gpu", "cores", "expected"),
    [
        (LARGE_GPU, 16, 8),
        (LARGE_GPU, 3, 3),
        (Gpu(132, 2 * GB), 16, 2),  # 0.6 GB each for CUDA, of four fifths
        (Gpu(132, 0), 16, 1),
    ],
)
def test_memory_and_cores_limit_the_workers(gpu, cores, expected):
    assert workers_of_gpu(Load(flops=1e6, layers=14, activations=10**6), gpu, cores) == expected


def test_a_gpu_with_fewer_multiprocessors_gets_fewer_workers():
    load = Load(flops=6e9, layers=14, activations=10**6)
    counts = [workers_of_gpu(load, Gpu(number, 80 * GB), 16) for number in (132, 66, 10)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1] == 1


def test_the_cpu_gets_a_worker_for_each_core(monkeypatch, tmp_path):
    monkeypatch.setattr(worker_count, "cores", lambda: 7)
    assert count_workers([training()], "cpu", Folders(tmp_path, tmp_path)) == 7


def test_every_gpu_gets_as_many_as_the_smallest(monkeypatch, tmp_path):
    free = {"cuda:0": 80 * GB, "cuda:1": 3 * GB}
    monkeypatch.setattr(worker_count, "devices_of", lambda device: list(free))
    monkeypatch.setattr(worker_count, "cores", lambda: 32)
    monkeypatch.setattr(worker_count, "_read_gpu", lambda device: Gpu(132, free[device]))
    folders = Folders(tmp_path, tmp_path)
    assert count_workers([training()], "cuda", folders) == 2 * 3
    own = training(backbone=worker_count.UNUSED)
    assert count_workers([training(), own], "cuda", folders) == 2
