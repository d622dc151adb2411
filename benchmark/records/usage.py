"""What a job used of the machine."""

from __future__ import annotations

from benchmark.records.record import Record


class Usage(Record):
    """What a job used of the machine, in its own worker process.

    Attributes:
        device: where its model was, "cpu", "cuda" or "cuda:1".
        peak_memory: largest resident memory of the worker in bytes; 0 where the system does not tell. Where
            the system cannot measure anew (not Linux), that since the worker started.
        peak_gpu_memory: largest memory of its tensors on the GPU in bytes; None on a CPU.
        cpu_utilization: processor time of the worker by wall-clock time, in percent; 100 is one busy core.
        gpu_utilization: mean utilization of the GPU by all of its processes, in percent; None on a CPU, and
            where NVML cannot tell.
    """

    device: str
    peak_memory: int = 0
    peak_gpu_memory: int | None = None
    cpu_utilization: float | None = None
    gpu_utilization: float | None = None
