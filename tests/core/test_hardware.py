from contextlib import contextmanager

import pytest
import torch

from benchmark.core.errors import UsageError
from benchmark.core.hardware import (
    current_device,
    devices_of,
    hardware,
    is_device,
    one_thread,
    resolve_device,
)


def test_hardware_names_the_threads(monkeypatch):
    assert hardware("cpu").endswith(", one thread a worker")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"a GPU at {device}")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for threads, words in ((16, "16 threads"), (1, "one thread")):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        assert hardware("cuda").endswith(f", {words} a worker")
    assert hardware("cuda").startswith("a GPU at cuda, ")


@pytest.fixture
def three_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_cuda_is_every_visible_gpu_and_an_index_one_of_them(three_gpus):
    assert resolve_device("auto") == resolve_device("cuda") == "cuda"
    assert resolve_device("cuda:2") == "cuda:2"
    assert devices_of("cuda") == ["cuda:0", "cuda:1", "cuda:2"]
    assert devices_of("cuda:1") == ["cuda:1"]
    assert devices_of("cpu") == ["cpu"]


def test_a_single_gpu_keeps_its_name(three_gpus, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert devices_of("cuda") == ["cuda"]


def test_an_index_that_is_not_visible_is_refused_in_one_line(three_gpus, monkeypatch):
    with pytest.raises(UsageError) as error:
        resolve_device("cuda:3")
    assert str(error.value) == "There is no device cuda:3; visible: cuda:0, cuda:1, cuda:2."
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6")
    with pytest.raises(UsageError, match=r"cuda:2 \(CUDA_VISIBLE_DEVICES=4,5,6\)\.$"):
        resolve_device("cuda:7")


@pytest.mark.parametrize("asked", ["gpu", "cuda:", "cuda:-1", "cuda:01", "CPU", ""])
def test_an_unknown_device_is_refused(asked):
    assert not is_device(asked)
    with pytest.raises(UsageError, match=f"Unknown device '{asked}'. Valid: auto, cpu, cuda, cuda:INDEX"):
        resolve_device(asked)


@pytest.mark.parametrize("asked", ["cuda", "cuda:0"])
def test_a_gpu_where_there_is_none_is_refused(asked, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="no CUDA device here; use --device cpu"):
        resolve_device(asked)


def test_a_gpu_with_an_index_is_the_current_one_within_the_block(monkeypatch):
    entered = []

    @contextmanager
    def device(name):
        entered.append(name)
        yield

    monkeypatch.setattr(torch.cuda, "device", device)
    for name in ("cpu", "cuda", "cuda:1"):
        with current_device(name):
            pass
    assert entered == ["cuda:1"]


def test_threads_are_restored_after_a_block_of_one_thread(monkeypatch):
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_a_process_without_a_gpu_names_its_processor(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert hardware("cuda:7").split(", ")[0] == hardware("cpu").split(", ")[0]
