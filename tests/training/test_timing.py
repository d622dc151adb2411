import time

import pytest
import torch

from benchmark.training import timing
from benchmark.training.timing import Timing, gpu_utilization, waiting


def test_parts_of_a_step_are_told_apart_and_the_rest_is_other():
    clock = Timing("cpu")
    for _ in range(2):
        clock.start_epoch()
        for _ in range(3):
            for part, seconds in (("data", 0.002), ("networks", 0.006), ("optimizer", 0.0)):
                time.sleep(seconds)
                clock.end(part)
        clock.end_epoch()
        time.sleep(0.01)  # between epochs
    assert 0.012 <= clock.seconds["data"] < clock.seconds["networks"]
    shares = clock.shares(sum(clock.seconds.values()) * 2)
    assert list(shares) == ["data", "networks", "optimizer", "other"]
    assert shares["other"] == pytest.approx(0.5) and sum(shares.values()) == pytest.approx(1)
    assert clock.utilization is None
    assert Timing("cpu").shares(0.0) == {}


@pytest.fixture
def gpu(monkeypatch):
    """A GPU on which an event happens every 10 ms, and that is busy for 40 % of the time."""
    calls = []

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            self.at = 10.0 * len(calls)
            calls.append("record")

        def synchronize(self):
            calls.append("synchronize")

        def elapsed_time(self, other):
            return other.at - self.at

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "utilization", lambda device: 40)
    monkeypatch.setattr(timing, "_SECONDS_BETWEEN_LOOKS", 0.0)
    return calls


def test_a_gpu_is_waited_for_only_after_the_epoch(gpu):
    clock = Timing("cuda")
    clock.start_epoch()
    for part in ("data", "networks", "optimizer") * 2:
        clock.end(part)
    assert gpu == ["record"] * 7
    clock.end_epoch()
    assert gpu == ["record"] * 7 + ["synchronize"]
    assert clock.seconds == pytest.approx({"data": 0.02, "networks": 0.02, "optimizer": 0.02})
    assert clock.utilization == 40


def test_the_first_look_does_not_tell_of_the_moments_before_the_training(gpu, monkeypatch):
    monkeypatch.setattr(timing, "_SECONDS_BETWEEN_LOOKS", 60.0)
    clock = Timing("cuda")
    clock.start_epoch()
    clock.end("data")
    assert clock.utilization is None


class NVMLError(Exception):
    __module__ = "pynvml"


@pytest.mark.parametrize("error", [ModuleNotFoundError("no pynvml"), RuntimeError("no driver"), NVMLError()])
def test_a_utilization_that_cannot_be_read_is_not_known(gpu, monkeypatch, error):
    def broken(device):
        raise error

    monkeypatch.setattr(torch.cuda, "utilization", broken)
    assert gpu_utilization(torch.device("cuda")) is None
    clock = Timing("cuda")
    clock.start_epoch()
    clock.end("data")
    assert clock.utilization is None


def test_what_a_gpu_waited_for():
    assert waiting(None, 5, 10) == waiting(90, 5, 10) == waiting(50, 0, 0) == ""
    expected = "it waited 20 % of the time for images and 40 % of the time for Python"
    assert waiting(40, 2, 10) == f"the GPU was busy 40 % of the time; {expected}"
    assert waiting(40, 9, 10).endswith("60 % of the time for images and 0 % of the time for Python")
