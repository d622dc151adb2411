"""Leases between runs; objects stand for runs on machines that do not see each other's processes."""

import errno
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from benchmark.core.errors import StorageFullError
from benchmark.runner import leases as module
from benchmark.runner.leases import Leases

PATIENCE = 0.6


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Makes leases of a run on a machine with a name of its own."""

    def make(machine, patience=PATIENCE):
        monkeypatch.setattr(module, "machine", lambda: machine)
        return Leases(tmp_path, patience)

    return make


def dead(leases):
    """Lets a run die: its heart stops, and its files stay."""
    leases.__enter__()
    leases._ended.set()
    leases._thread.join()
    return leases


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_lease_is_one_runs_until_it_is_released(make, tmp_path):
    with make("one") as one, make("two") as two:
        assert one.take("job") is None
        assert one.take("job") is None
        lease = two.take("job")
        assert (lease.run, lease.pid) == (one.run, os.getpid())
        time.sleep(2 * PATIENCE)
        assert two.take("job").run == one.run  # its heart beats
        one.release("job")
        assert two.take("job") is None
        assert one.take("job").run == two.run
    assert not files(tmp_path)


def test_the_lease_of_a_run_whose_counter_stands_still_is_taken_over(make, tmp_path):
    one = dead(make("one"))
    one.take("job")
    with make("two") as two:
        began = time.monotonic()
        while two.take("job") is not None:
            assert time.monotonic() < began + 20
            time.sleep(0.02)
        assert time.monotonic() - began >= 0.9 * PATIENCE
        assert [name for name in files(tmp_path) if name.startswith("job")] == ["job.1.json"]
        one.release("job")  # it wakes up
        assert [name for name in files(tmp_path) if name.startswith("job")] == ["job.1.json"]
    assert not files(tmp_path)


def test_the_lease_of_a_process_that_has_ended_is_taken_over_at_once(make, tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    one = make("same", patience=1000)
    one._me = one._me.model_copy(update={"pid": ended.pid})
    dead(one).take("job")
    with make("same", patience=1000) as two:
        assert two.take("job") is None
    assert not files(tmp_path)


def test_of_many_runs_that_take_over_at_once_one_succeeds(make, tmp_path):
    for number in range(20):
        job = f"job{number}"
        dead(make("gone", patience=1000)).take(job)
        runs = [make(str(name), patience=1000) for name in range(8)]
        names = {run.run for run in runs}
        for run in runs:
            run._lives = lambda lease, names=names: lease.run in names
        barrier = threading.Barrier(len(runs))
        got = []

        def take(run, job=job, barrier=barrier, got=got):
            barrier.wait()
            got.append(run.take(job))

        threads = [threading.Thread(target=take, args=(run,)) for run in runs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert got.count(None) <= 1
        (lease,) = list(tmp_path.glob(f"{job}.*.json")) or [None]
        assert got.count(None) == (lease is not None)
        if lease is not None:
            assert json.loads(lease.read_text())["run"] in names


def test_a_damaged_lease_is_no_lease(make, tmp_path):
    (tmp_path / "job.0.json").write_text("{")
    with make("one") as one:
        assert one.take("job") is None
    assert not files(tmp_path)


def test_a_folder_in_the_place_of_a_lease_is_set_aside(make, tmp_path, capsys):
    (tmp_path / "job.0.json").mkdir()
    with make("one") as one:
        assert one.take("job") is None
    assert files(tmp_path) == ["job.0.json.damaged"]
    assert "job.0.json is damaged (a folder is in its place): renamed to" in capsys.readouterr().err


@pytest.mark.parametrize("damage", [lambda path: path.write_text("{"), lambda path: path.mkdir()])
def test_a_damaged_heartbeat_counts_as_dead_when_it_does_not_change(make, tmp_path, damage):
    damage(tmp_path / "other.run")
    with make("one"):
        assert "other.run" in files(tmp_path)  # it may be alive
        time.sleep(2 * PATIENCE)
    assert not [name for name in files(tmp_path) if name.endswith(".run")]


def test_damaged_leases_of_jobs_that_nobody_takes_are_removed(make, tmp_path):
    (tmp_path / "done.0.json").write_text("{")
    with make("one"):
        pass
    assert not files(tmp_path)


def test_without_links_a_lease_is_created_all_the_same(make, tmp_path, monkeypatch):
    def link(source, target):
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", link)
    with make("one") as one, make("two") as two:
        assert one.take("job") is None
        assert two.take("job").run == one.run
    assert not files(tmp_path)


def test_a_heart_beats_on_when_the_disk_was_full(make, tmp_path, monkeypatch):
    full = threading.Event()
    write = module.write_atomically

    def write_or_fail(path, fill):
        if full.is_set():
            full.clear()
            raise StorageFullError("the disk is full")
        write(path, fill)

    monkeypatch.setattr(module, "write_atomically", write_or_fail)
    with make("one", patience=0.12) as one:
        full.set()
        deadline = time.monotonic() + 20
        while full.is_set() and time.monotonic() < deadline:
            time.sleep(0.01)
        beat = json.loads((tmp_path / f"{one.run}.run").read_text())["beat"]
        while json.loads((tmp_path / f"{one.run}.run").read_text())["beat"] == beat:
            assert time.monotonic() < deadline, "the heart stands still"
            time.sleep(0.01)


def test_a_full_disk_names_the_lease_and_leaves_no_other_file(make, tmp_path, monkeypatch):
    with make("one") as one:

        def full(*_, **__):
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_text", full)
            with pytest.raises(StorageFullError, match=r"job\.0\.json cannot be written: the disk is full"):
                one.take("job")
        assert files(tmp_path) == [f"{one.run}.run"]


def test_ids_that_begin_alike_have_leases_of_their_own(make):
    with make("one") as one, make("two") as two:
        assert one.take("a.b") is None
        assert two.take("a") is None
        assert two.take("a.b").run == one.run
