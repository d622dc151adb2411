"""Jobs are dealt out to all devices, the least loaded first."""

from pathlib import Path

import pytest

from benchmark.jobs import RunContext
from benchmark.runner import executor
from benchmark.runner.device_dealer import DeviceDealer


def context(device):
    here = Path()
    return RunContext(output=here, cache=here, data=here, device=device, commit="", workers=5)


def test_workers_are_spread_and_the_least_loaded_device_comes_first():
    dealer = DeviceDealer(["cuda:0", "cuda:1"], 3)
    assert dealer.workers == {"cuda:0": 2, "cuda:1": 1}
    assert [dealer.take() for _ in range(3)] == ["cuda:0", "cuda:1", "cuda:0"]
    dealer.give_back("cuda:0")
    dealer.give_back("cuda:1")
    assert [dealer.take() for _ in range(2)] == ["cuda:1", "cuda:0"]
    with pytest.raises(RuntimeError, match="All workers are busy"):
        dealer.take()


def test_devices_without_a_worker_are_left_out():
    dealer = DeviceDealer(["cuda:0", "cuda:1", "cuda:2"], 2)
    assert list(dealer.workers) == ["cuda:0", "cuda:1"]
    with pytest.raises(RuntimeError, match="No job runs on cuda:2"):
        dealer.give_back("cuda:2")
    with pytest.raises(RuntimeError, match="No job runs on cuda:0"):
        dealer.give_back("cuda:0")


def test_a_jobs_context_names_its_gpu_and_who_shares_it():
    dealer = DeviceDealer(["cuda:0", "cuda:1"], 5)
    given = dealer.context_on("cuda:1", context("cuda"))
    assert (given.device, given.workers, given.sharing_device) == ("cuda:1", 5, 2)
    alone = context("cpu")
    assert DeviceDealer(["cpu"], 5).context_on("cpu", alone) is alone
    assert alone.sharing_device == 5


class FakePool:
    """Stands in for the workers of one device: runs a job when it is scheduled."""

    def __init__(self, device, count, running):
        self.device, self.count, self.running = device, count, running

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def schedule(self, work, args):
        job, given = args
        assert given.device == self.device
        self.running.append((job.id, given.device))
        future = executor.Future()
        future.set_result(None)
        return future


class FakeJob:
    """A job that needs nothing."""

    key, needs = None, {}

    def __init__(self, name):
        self.id = self.label = name


def test_the_executor_deals_jobs_out_to_the_workers_of_each_gpu(monkeypatch):
    ran, pools = [], []

    def pool(device, count, sharing):
        pools.append((device, count, sharing))
        return FakePool(device, count, ran)

    monkeypatch.setattr(executor, "worker_pool", pool)
    monkeypatch.setattr(executor, "devices_of", lambda device: ["cuda:0", "cuda:1"])
    jobs = [FakeJob(str(number)) for number in range(6)]
    finished = []
    executor.run_jobs(
        jobs,
        dict.fromkeys("012345", 1.0),
        context("cuda"),
        3,
        lambda job: None,
        lambda job, reason: finished.append((job.id, reason)),
    )
    assert pools == [("cuda:0", 2, 5), ("cuda:1", 1, 5)]
    assert sorted(finished) == [(name, None) for name in "012345"]
    assert [device for _, device in ran[:3]] == ["cuda:0", "cuda:1", "cuda:0"]
    assert sorted(name for name, _ in ran) == list("012345")
