"""The processor or GPU that computes: which one, how many workers fit it, and what it is called."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch

from benchmark.core.cpu import cores
from benchmark.core.errors import UsageError


@cache
def _chip(device: str) -> str:
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def hardware(device: str) -> str:
    """Name of the GPU or processor, and the threads of a worker, on which a large k-means depends."""
    threads = torch.get_num_threads() if device.startswith("cuda") else 1
    return f"{_chip(device)}, {'one thread' if threads == 1 else f'{threads} threads'} a worker"


def resolve_device(asked: str) -> str:
    """Chooses the device for "auto", "cpu" or "cuda".

    Raises:
        UsageError: when a GPU is asked for and there is none.
    """
    if asked == "cuda" and not torch.cuda.is_available():
        raise UsageError("There is no CUDA device here; use --device cpu or --device auto.")
    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return asked


def default_workers(device: str) -> int:
    """Counts the workers of a device: one for each core that this process may use; one for a GPU."""
    return 1 if device == "cuda" else cores()


@contextmanager
def one_thread() -> Iterator[None]:
    """Limits torch to one thread within the block: small networks run faster so, above all beside others."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
