"""The processor or GPU that computes: which one, how many workers fit it, and what it is called."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch

from benchmark.core.errors import UsageError


@cache
def _chip(device: str) -> str:
    # A process that sends jobs to the GPUs of other machines may have none itself.
    if device.startswith("cuda") and torch.cuda.is_available():
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


def is_device(asked: str) -> bool:
    """Whether a text names a device as `--device` takes it: "auto", "cpu", "cuda" or "cuda:INDEX"."""
    return re.fullmatch(r"auto|cpu|cuda(:(0|[1-9][0-9]*))?", asked) is not None


def resolve_device(asked: str) -> str:
    """Chooses the device for "auto", "cpu", "cuda" (all visible GPUs) or "cuda:1" (that GPU only).

    Raises:
        UsageError: when a GPU is asked for and there is none, or none of that index.
    """
    if not is_device(asked):
        raise UsageError(f"Unknown device '{asked}'. Valid: auto, cpu, cuda, cuda:INDEX.")
    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if asked == "cpu":
        return asked
    if not torch.cuda.is_available():
        raise UsageError("There is no CUDA device here; use --device cpu or --device auto.")
    index = asked.partition(":")[2]
    if index and int(index) >= torch.cuda.device_count():
        limited = os.environ.get("CUDA_VISIBLE_DEVICES")
        why = f" (CUDA_VISIBLE_DEVICES={limited})" if limited else ""
        raise UsageError(f"There is no device {asked}; visible: {', '.join(_gpus())}{why}.")
    return asked


def _gpus() -> list[str]:
    return [f"cuda:{index}" for index in range(torch.cuda.device_count())]


def devices_of(device: str) -> list[str]:
    """Lists the devices that jobs are dealt out to: all visible GPUs for "cuda", else the one that is named.

    CUDA itself hides the GPUs that CUDA_VISIBLE_DEVICES leaves out, and counts the others from 0.
    """
    gpus = _gpus() if device == "cuda" else []
    return gpus if len(gpus) > 1 else [device]


@contextmanager
def current_device(device: str) -> Iterator[None]:
    """Makes a GPU the current one within the block; does nothing for the CPU, or without an index."""
    if torch.device(device).index is None:
        yield
        return
    with torch.cuda.device(device):
        yield


@contextmanager
def one_thread() -> Iterator[None]:
    """Limits torch to one thread within the block: small networks run faster so, above all beside others."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
