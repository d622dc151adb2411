import torch

from benchmark.core.hardware import hardware


def test_hardware_names_the_threads(monkeypatch):
    assert hardware("cpu").endswith(", one thread a worker")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"a GPU at {device}")
    for threads, words in ((16, "16 threads"), (1, "one thread")):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        assert hardware("cuda").endswith(f", {words} a worker")
    assert hardware("cuda").startswith("a GPU at cuda, ")
