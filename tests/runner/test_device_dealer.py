"""Jobs are dealt out to all devices, the least loaded first."""

from pathlib import Path

import pytest

from benchmark.jobs import RunContext
from benchmark.runner import executor, pool
from benchmark.runner.device_dealer import DeviceDealer
from benchmark.runner.serve import Said
from benchmark.runner.supervisor import Ended

from .noting import Noting


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


class FakeJob:
    """A job that needs nothing."""

    key, needs, resumable, grace = None, {}, False, None

    def __init__(self, name):
        self.id = self.label = name

    def outcome(self, store):
        return None


class FakeSupervisor:
    """Stands in for the workers: a job that was sent has ended at the next look."""

    def __init__(self, size, threads):
        self.size, self.running, self.sent = size, [], []

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    @property
    def busy(self):
        return bool(self.running)

    @property
    def free(self):
        return self.size - len(self.running)

    def send(self, job, given):
        self.running.append(job)
        self.sent.append((job.id, given.device, given.sharing_device))

    def new_progress(self):
        return []

    def wait(self, timeout, also):
        return [Ended(self.running.pop(), Said.ENDED)]


def test_the_executor_deals_jobs_out_to_the_workers_of_each_gpu(monkeypatch, tmp_path):
    made, watcher = [], Noting()

    def supervisor(size, threads):
        made.append(FakeSupervisor(size, threads))
        return made[-1]

    monkeypatch.setattr(pool, "Supervisor", supervisor)
    monkeypatch.setattr(pool, "devices_of", lambda device: ["cuda:0", "cuda:1"])
    executor.run_jobs(
        [FakeJob(str(number)) for number in range(6)],
        dict.fromkeys("012345", 1.0),
        context("cuda").model_copy(update={"output": tmp_path}),
        3,
        watcher,
    )
    (supervisor_of_run,) = made
    assert supervisor_of_run.size == 3
    assert sorted(watcher.ended) == [(name, None) for name in "012345"]
    sent = supervisor_of_run.sent
    assert sorted(name for name, _, _ in sent) == list("012345")
    assert [(device, sharing) for _, device, sharing in sent[:3]] == [
        ("cuda:0", 2),
        ("cuda:1", 1),
        ("cuda:0", 2),
    ]
