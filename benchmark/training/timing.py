"""What the time of a training goes into, measured without waiting for a GPU."""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import pairwise

import torch

PARTS = ("data", "networks", "optimizer")
"""The parts of a step, in order: getting a batch, the defense's loss and its gradient, the optimizer."""

BUSY = 90.0
"""Utilization of a GPU, in percent, from which on a training is not waiting for anything."""

_SECONDS_BETWEEN_LOOKS = 0.5


class Timing:
    """Adds up what the parts of steps take.

    On a CPU by the clock. On a GPU by events between its operations, which are read after an epoch: the time
    before a part's end in which the GPU is idle counts to that part, whatever kept it waiting.

    Args:
        device: where the model is trained.

    Attributes:
        seconds: of each part so far.
    """

    def __init__(self, device: torch.device | str) -> None:
        self._device = torch.device(device)
        self._on_gpu = self._device.type == "cuda"
        self._last = 0.0
        self._events: list[tuple[str, torch.cuda.Event]] = []
        self._utilization: list[float] = []
        self._looked = 0.0
        self.seconds = dict.fromkeys(PARTS, 0.0)

    def start_epoch(self) -> None:
        """Starts the first part of the first step."""
        # A look tells of the moments before it, which were not the training's at its start.
        self._looked = self._looked or time.perf_counter()
        self._mark("")

    def end(self, part: str) -> None:
        """Takes note that a part ends here, and that the next begins."""
        self._mark(part)
        if self._on_gpu and time.perf_counter() - self._looked > _SECONDS_BETWEEN_LOOKS:
            self._looked = time.perf_counter()
            if (percent := gpu_utilization(self._device)) is not None:
                self._utilization.append(percent)

    def end_epoch(self) -> None:
        """Adds up the epoch; to be called when the device has done all of it, as after reading the loss."""
        events, self._events = self._events, []
        if events:
            events[-1][1].synchronize()
        for (_, before), (part, after) in pairwise(events):
            self.seconds[part] += before.elapsed_time(after) / 1000

    def _mark(self, part: str) -> None:
        if self._on_gpu:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self._events.append((part, event))
            return
        now = time.perf_counter()
        if part:
            self.seconds[part] += now - self._last
        self._last = now

    def shares(self, total: float) -> dict[str, float]:
        """Returns the fraction of the total seconds that each part took, and the rest as "other"."""
        if total <= 0:
            return {}
        shares = {part: seconds / total for part, seconds in self.seconds.items()}
        return {**shares, "other": max(0.0, 1 - sum(shares.values()))}

    @property
    def utilization(self) -> float | None:
        """Mean utilization of the GPU in percent; None on a CPU, and where it is not known."""
        return sum(self._utilization) / len(self._utilization) if self._utilization else None


def gpu_utilization(device: torch.device) -> float | None:
    """Reads how busy a GPU was in the last moments, in percent; None where NVML cannot tell."""
    try:
        return float(torch.cuda.utilization(device))
    except (ImportError, RuntimeError, OSError):  # no pynvml, or no right to ask
        return None
    except Exception as error:  # pynvml's own errors, whose class may not be there to name
        if type(error).__module__.split(".")[0] in ("pynvml", "pynvml_utils"):
            return None
        raise


def waiting(utilization: float | None, waited: float, seconds: float) -> str:
    """Says what a GPU that was not busy waited for, as a clause; empty where it was busy, or is not known.

    Args:
        utilization: mean utilization in percent.
        waited: seconds of the training that were spent waiting for images.
        seconds: of the training.
    """
    if utilization is None or utilization >= BUSY or seconds <= 0:
        return ""
    images = min(100 * waited / seconds, 100 - utilization)
    parts: Mapping[str, float] = {"images": images, "Python": 100 - utilization - images}
    waits = " and ".join(f"{share:.0f} % of the time for {what}" for what, share in parts.items())
    return f"the GPU was busy {utilization:.0f} % of the time; it waited {waits}"
