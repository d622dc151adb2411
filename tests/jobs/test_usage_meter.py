import sys
import time
from pathlib import Path

import pytest
import torch

from benchmark.jobs import RunContext
from benchmark.jobs import usage_meter as module
from benchmark.jobs.progress import Progress
from benchmark.jobs.usage_meter import UsageMeter, forget_peak_memory, peak_memory

MIB = 1 << 20
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def used(size):
    data = torch.ones(size * MIB, dtype=torch.uint8)
    assert data[-1] == 1


@LINUX
def test_the_peak_is_that_of_the_job_not_of_the_process():
    used(256)
    before = peak_memory()
    forget_peak_memory()
    assert peak_memory() < before - 200 * MIB
    meter = UsageMeter("cpu")
    used(64)
    assert peak_memory() - 200 * MIB < meter.usage().peak_memory < before


def test_processor_time_by_wall_clock_time():
    meter = UsageMeter("cpu")
    time.sleep(0.3)
    idle = meter.usage().cpu_utilization
    meter = UsageMeter("cpu")
    ends = time.monotonic() + 0.3
    while time.monotonic() < ends:
        pass
    busy = meter.usage().cpu_utilization
    assert idle < 50 < busy or idle < busy / 2


def test_a_cpu_has_no_memory_of_a_gpu():
    meter = UsageMeter("cpu")
    meter.look()
    usage = meter.usage()
    assert usage.device == "cpu"
    assert usage.peak_gpu_memory is usage.gpu_utilization is None


def test_a_gpu_is_looked_at_from_time_to_time(monkeypatch):
    percents = iter([10.0, None, 90.0])
    monkeypatch.setattr(module, "gpu_utilization", lambda device: next(percents))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 7)
    meter = UsageMeter("cuda:1")
    for _ in range(3):
        meter.look()
    usage = meter.usage()
    assert (usage.device, usage.gpu_utilization, usage.peak_gpu_memory) == ("cuda:1", 50.0, 7)


def test_where_the_peak_cannot_be_read_that_of_the_process_counts(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_STATUS", tmp_path / "missing")
    monkeypatch.setattr(module, "_FORGET_PEAK", tmp_path / "missing" / "too")
    forget_peak_memory()
    assert peak_memory() > 10 * MIB


def test_a_context_measures_and_reports_only_in_a_job(tmp_path):
    context = RunContext(output=tmp_path, cache=tmp_path, data=tmp_path, device="cpu", commit="")
    context.report(Progress(0.5))
    assert context.usage() is None
    told = []
    inside = context.in_job(told.append)
    inside.report(Progress(0.5))
    assert told == [Progress(0.5)]
    assert inside.usage().device == "cpu"
    assert context.usage() is None
    assert Path(inside.output) == tmp_path
