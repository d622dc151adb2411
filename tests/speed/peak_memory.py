"""The memory that a call takes at its peak."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch

INTERVAL = 0.002
"""Seconds between two looks at the memory of the process."""


def peak_memory(work: Callable[[], object], device: str) -> float:
    """Runs a call; returns the most memory that it took beside what was taken before, in MB.

    On a GPU it is what torch allocated. On a CPU it is the process's resident memory, sampled while the call
    runs; memory that an earlier call has left to the allocator is not counted, so a later call may take 0.
    """
    if device == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        work()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    before, peaks, done = _resident(), [0], threading.Event()

    def watch() -> None:
        while not done.is_set():
            peaks.append(_resident())
            time.sleep(INTERVAL)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        work()
    finally:
        done.set()
        watcher.join()
    return max(0, max(peaks) - before) / 1e6


def _resident() -> int:
    """Resident memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
