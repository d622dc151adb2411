"""Deals jobs out to the devices of a run: the least loaded first."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.jobs import RunContext


class DeviceDealer:
    """Knows how many workers each device has, and how many of them are busy.

    Args:
        devices: the devices, as "cpu" or "cuda:1".
        workers: number of workers on all of them, from 1; devices that come first get the ones left over.

    Attributes:
        workers: the number of workers of each device that has any.
    """

    def __init__(self, devices: Sequence[str], workers: int) -> None:
        share, left_over = divmod(workers, len(devices))
        counts = {device: share + (place < left_over) for place, device in enumerate(devices)}
        self.workers = {device: count for device, count in counts.items() if count}
        self._busy = dict.fromkeys(self.workers, 0)

    def take(self) -> str:
        """Returns the device with the fewest busy workers among those with an idle one, and books one.

        Raises:
            RuntimeError: when no worker is idle; a caller hands out no more jobs than there are workers.
        """
        idle = [device for device, count in self.workers.items() if self._busy[device] < count]
        if not idle:
            raise RuntimeError("All workers are busy.")
        device = min(idle, key=lambda device: self._busy[device])  # of equals, the first
        self._busy[device] += 1
        return device

    def give_back(self, device: str) -> None:
        """Notes that a job on a device has ended.

        Raises:
            RuntimeError: when none ran there.
        """
        if not self._busy.get(device):
            raise RuntimeError(f"No job runs on {device}.")
        self._busy[device] -= 1

    def context_on(self, device: str, context: RunContext) -> RunContext:
        """Returns the context of a run for a job on one of its devices."""
        if len(self.workers) == 1 and device == context.device:
            return context
        return context.model_copy(update={"device": device, "workers_of_device": self.workers[device]})
