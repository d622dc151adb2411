import pytest
import torch

from benchmark.jobs import progress as module
from benchmark.jobs.progress import AttackProgress, Progress, TrainingProgress


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (Progress(), ""),
        (Progress(0.5, unit="epoch", done=3, total=60, measure="loss"), "epoch 3 of 60"),
        (
            Progress(0.5, unit="epoch", done=3, total=60, measure="loss", value=0.43219),
            "epoch 3 of 60, loss 0.4322",
        ),
        (Progress(0.5, 1, "step", 1234, 5000, "objective", -1.0), "step 1,234 of 5,000, objective -1"),
    ],
)
def test_in_words(progress, text):
    assert str(progress) == text


def test_a_training_reports_each_epoch_and_its_steps_once_a_second(clock):
    told = []
    watch = TrainingProgress(told.append, 10)
    for step in range(100):
        clock[0] += 0.1
        watch.step(step / 100)
    assert 9 <= len(told) <= 11
    assert told[-1].done == int(told[-1].share * 10)
    watch.epoch(10, 10, 0.25)
    assert told[-1] == Progress(1.0, unit="epoch", done=10, total=10, measure="loss", value=0.25)


def test_a_training_that_resumed_says_from_where(clock):
    told = []
    watch = TrainingProgress(told.append, 10)
    watch.step(0.7)
    clock[0] += 2
    watch.step(0.75)
    assert [(one.share, one.resumed, one.done) for one in told] == [(0.7, 0.7, 7), (0.75, 0.7, 7)]


def test_an_attack_reports_its_steps_once_a_second_and_its_last(clock):
    told = []
    watch = AttackProgress(told.append, weight=0.8, part=0.5)
    for _ in range(100):
        clock[0] += 0.25
        watch.step(100, torch.tensor([1.0, 2.0]))
    assert 25 <= len(told) <= 27
    assert told[-1] == Progress(0.8, 0.5, "step", 100, 100, "objective", 1.5)
    assert [one.done for one in told] == sorted(one.done for one in told)


def test_an_attack_that_resumed_says_from_where(clock):
    told = []
    watch = AttackProgress(told.append, weight=0.5)
    watch.resume(60)
    for _ in range(2):
        clock[0] += 2
        watch.step(100)
    assert [(one.share, one.resumed, one.done) for one in told] == [(0.305, 0.3, 61), (0.31, 0.3, 62)]


class OnGpu(torch.Tensor):
    """Values that are said to be on a GPU."""

    device = torch.device("cuda")


class FakeEvent:
    ready = False

    def record(self, stream):
        pass

    def query(self):
        return self.ready


def test_values_of_a_gpu_are_those_of_an_earlier_look_and_nothing_waits(clock, monkeypatch):
    monkeypatch.setattr(torch.cuda, "Event", FakeEvent)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    told = []
    watch = AttackProgress(told.append)
    for value, ready in ((1.0, False), (2.0, False), (3.0, True), (4.0, True)):
        clock[0] += 1
        FakeEvent.ready = ready
        watch.step(10, torch.tensor([value]).as_subclass(OnGpu))
    assert [one.value for one in told] == [None, None, 1.0, 3.0]
