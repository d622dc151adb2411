"""The processor or GPU that computes, in words."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

import torch


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
