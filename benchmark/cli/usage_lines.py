"""What the jobs of a run used of the machine, in lines for `--status`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from benchmark.records.usage import Usage


class UsageLines:
    """Collects what jobs used, by device."""

    def __init__(self) -> None:
        self._found: dict[str, list[tuple[Usage, float]]] = defaultdict(list)

    def add(self, usage: Usage | None, seconds: float) -> None:
        """Adds a job.

        Args:
            usage: what it used; None is ignored.
            seconds: how long it took, by which utilizations are weighted.
        """
        if usage is not None:
            self._found[usage.device].append((usage, seconds))

    def lines(self) -> Iterator[str]:
        """Yields a line for each device."""
        for device, found in sorted(self._found.items()):
            parts = [f"{_size(max(usage.peak_memory for usage, _ in found))} of memory in a worker, at most"]
            if gpu := [usage.peak_gpu_memory for usage, _ in found if usage.peak_gpu_memory is not None]:
                parts.append(f"{_size(max(gpu))} of tensors on the GPU")
            for name, field in (("GPU", "gpu_utilization"), ("a worker's processor", "cpu_utilization")):
                if (percent := _mean(found, field)) is not None:
                    parts.append(f"{name} {percent:.0f} % busy")
            yield f"Used on {device}: {'; '.join(parts)}."


def _mean(found: list[tuple[Usage, float]], field: str) -> float | None:
    known = [(getattr(usage, field), max(seconds, 1e-3)) for usage, seconds in found]
    known = [(percent, seconds) for percent, seconds in known if percent is not None]
    total = sum(seconds for _, seconds in known)
    return sum(percent * seconds for percent, seconds in known) / total if total else None


def _size(number: int) -> str:
    return f"{number / 1e6:,.0f} MB" if number < 1e9 else f"{number / 1e9:,.1f} GB"
