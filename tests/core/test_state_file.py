import time

import pytest
import torch

from benchmark.core import state_file
from benchmark.core.errors import InterruptedJobError
from benchmark.core.state_file import StateFile

HERE = {"device": "cpu", "packages": {"torch": "2"}}
TENSORS = {"x": torch.arange(3.0)}


@pytest.fixture
def file(tmp_path):
    return StateFile(tmp_path / "unfinished" / "x.safetensors", "training")


def test_what_was_written_last_is_read(file):
    assert file.read(HERE) is None and file.description() is None
    file.write({"step": 1}, {}, HERE)
    file.write({"step": 2}, TENSORS, HERE)
    description, tensors = file.read(HERE)
    assert description == {"step": 2}
    assert torch.equal(tensors["x"], TENSORS["x"])
    assert file.description()["step"] == 2


def test_nothing_is_read_in_another_environment(file):
    file.write({"step": 1}, TENSORS, HERE)
    assert file.read({**HERE, "packages": {"torch": "3"}}) is None
    assert file.read(HERE) is not None


def test_slow_writes_are_rare(tmp_path, monkeypatch):
    clock = iter([0.0, 50.0, 160.0, 209.0, 211.0])
    seconds = iter([0.0, 5.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(time, "perf_counter", lambda: next(seconds))
    file = StateFile(tmp_path / "x.safetensors", "training", every=50.0)
    assert file.due()
    file.write({}, {}, HERE)  # takes 5 seconds, until 160
    assert [file.due(), file.due()] == [False, False]


def test_a_file_that_cannot_be_written_is_a_warning(file, monkeypatch, capsys):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(state_file, "save_file", refuse)
    file.write({}, {}, HERE)
    assert "warning: the running training cannot be saved to" in capsys.readouterr().err


def test_a_job_of_a_run_that_is_stopped_is_saved_and_ends(tmp_path):
    asked = iter([False, True])
    file = StateFile(tmp_path / "x.safetensors", "attack", every=1000, stopping=lambda: next(asked))
    assert not file.due()
    assert file.due()
    with pytest.raises(InterruptedJobError, match="the attack is saved"):
        file.write({"step": 3}, {}, HERE)
    assert file.description()["step"] == 3
