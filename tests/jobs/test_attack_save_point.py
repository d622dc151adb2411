"""The file that a running attack is saved to: when, what is damaged, whose it is."""

import shutil
import time
from collections import namedtuple
from itertools import count

import pytest
import torch
from safetensors.torch import save_file

from benchmark.core import state_file
from benchmark.core.errors import InterruptedJobError, StorageFullError
from benchmark.jobs import RunContext
from benchmark.jobs.progress import AttackProgress

from .killed_attacks import KilledError, assert_same

SPEC = "apgd[objective=pool,steps=4]"
PATH = "x.safetensors"


@pytest.fixture
def saved(go, tmp_path):
    """The file of an attack that was killed after its second step."""
    with pytest.raises(KilledError):
        go(SPEC, path=PATH, killed_after=2)
    return tmp_path / "unfinished" / PATH


def starts_over(go, **options):
    found, expected = go(SPEC, path=PATH, **options), go(SPEC, **options)
    assert_same(found, expected)
    return found.calls == expected.calls


def test_it_resumes_from_a_sound_file(go, saved):
    assert not starts_over(go)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-10]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(bytes([*path.read_bytes()[:-1], path.read_bytes()[-1] ^ 1])),
        lambda path: save_file({"images": torch.zeros(1)}, path),
        lambda path: (path.unlink(), path.mkdir()),
    ],
)
def test_a_damaged_file_is_set_aside_and_the_attack_starts_over(go, saved, damage, capsys):
    damage(saved)
    assert starts_over(go)
    assert f"warning: {saved} is damaged (" in capsys.readouterr().err
    assert saved.with_name("x.safetensors.damaged").exists()


def test_the_state_of_another_attack_is_not_restored(go, saved):
    shutil.copy(saved, saved.with_name("y.safetensors"))
    assert go(SPEC, path="y.safetensors").calls == go(SPEC).calls


@pytest.mark.parametrize(
    "options",
    [{"batch_size": 6}, {"stored": True}, {"attacked": torch.arange(10)}],
    ids=lambda o: next(iter(o)),
)
def test_other_batches_or_images_or_memory_start_over(go, saved, options):
    assert starts_over(go, **options)


def test_other_packages_start_over(go, saved, monkeypatch):
    found = RunContext.provenance
    monkeypatch.setattr(
        RunContext, "provenance", lambda self: found(self).model_copy(update={"packages": {"torch": "1.0"}})
    )
    assert starts_over(go)


def test_it_is_saved_no_more_often_than_the_interval(go, monkeypatch):
    assert go(SPEC, path=PATH, every=1000).saves == 0
    monkeypatch.setattr(time, "monotonic", count(step=30).__next__)  # it looks at the clock twice a step
    saves = [go(SPEC, path=f"{every}.safetensors", every=every).saves for every in (1, 100, 200)]
    assert saves[0] > saves[1] > saves[2] > 0


def test_the_time_before_is_added(go, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(time, "perf_counter", count(step=1000).__next__)
        go(SPEC, path=PATH, killed_after=2)
    assert go(SPEC, path=PATH).seconds > 1000


def test_the_progress_goes_on_from_the_save(go):
    told = []
    killed, whole, resumed = (AttackProgress(told.append) for _ in range(3))
    with pytest.raises(KilledError):
        go(SPEC, path=PATH, killed_after=2, watch=killed)
    go(SPEC, path=PATH, watch=resumed)
    go(SPEC, watch=whole)
    assert 0 < killed.done < resumed.done == whole.done
    told = [one for one in told if one.done == whole.done]
    assert [one.resumed for one in told] == [killed.done / whole.done, 0.0]


def test_a_run_that_is_stopped_saves_at_the_next_step(go, tmp_path):
    stop = tmp_path / "stop"
    stop.touch()
    for _ in range(3):
        with pytest.raises(InterruptedJobError, match="the attack is saved"):
            go(SPEC, path=PATH, every=1000, stopping=stop)
    stop.unlink()
    resumed, expected = go(SPEC, path=PATH, stopping=stop), go(SPEC)
    assert_same(resumed, expected)
    assert resumed.calls < expected.calls


def test_a_state_that_is_too_large_for_the_disk_is_not_saved(go, monkeypatch, capsys, tmp_path):
    usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**6, 10**6 - 10_000, 10_000))
    assert_same(go(SPEC, path=PATH), go(SPEC))
    assert not list((tmp_path / "unfinished").iterdir())
    said = capsys.readouterr().err
    assert said.count("warning: the running attack is not saved on the way: its state takes 0.0 GB") == 1


def test_a_full_disk_ends_the_run(go, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(state_file, "save_file", full)
    with pytest.raises(StorageFullError, match="cannot be written: the disk is full"):
        go(SPEC, path=PATH)
