"""Measures what a job uses of the machine: memory at its peak, processor time, a GPU's utilization."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch

from benchmark.records.usage import Usage
from benchmark.training.timing import gpu_utilization

_STATUS = Path("/proc/self/status")
_FORGET_PEAK = Path("/proc/self/clear_refs")
_PEAK = "5"
"""What resets the peak of a process's resident memory, written to `clear_refs`; see proc(5)."""


class UsageMeter:
    """Measures from when it is made.

    Args:
        device: of the job, "cpu" or a GPU.
    """

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)
        self._utilization: list[float] = []
        self._wall, self._processor = time.monotonic(), time.process_time()
        forget_peak_memory()
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)

    def look(self) -> None:
        """Notes how busy the GPU is now; to be called from time to time."""
        if self._device.type == "cuda" and (percent := gpu_utilization(self._device)) is not None:
            self._utilization.append(percent)

    def usage(self) -> Usage:
        """What was used so far."""
        on_gpu = self._device.type == "cuda"
        wall = time.monotonic() - self._wall
        processor = time.process_time() - self._processor
        return Usage(
            device=str(self._device),
            peak_memory=peak_memory(),
            peak_gpu_memory=torch.cuda.max_memory_allocated(self._device) if on_gpu else None,
            cpu_utilization=round(100 * processor / wall, 1) if wall > 0 else None,
            gpu_utilization=(sum(self._utilization) / len(self._utilization) if self._utilization else None),
        )


def forget_peak_memory() -> None:
    """Lets the peak of this process's resident memory be measured anew, where the system can."""
    try:
        _FORGET_PEAK.write_text(_PEAK)
    except OSError:  # not Linux, or not allowed: the peak is that of the whole process
        return


def peak_memory() -> int:
    """The peak of this process's resident memory in bytes; 0 where the system does not tell."""
    try:
        lines = _STATUS.read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration, ValueError):
        return _peak_of_process()


def _peak_of_process() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # bytes there, kibibytes elsewhere
