"""Processes that embed images alone, forked from a zygote."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from benchmark.core.source import ROOT
from benchmark.jobs import isolated_start
from benchmark.jobs.isolated_start import ForkedProcesses

ZYGOTE = "tests.jobs.acting_zygote"

if not hasattr(os, "fork"):
    pytest.skip("there is no fork", allow_module_level=True)


@pytest.fixture(scope="module")
def forked():
    """Forked processes that act; a process that had to be started says so."""
    with pytest.MonkeyPatch.context() as patch, ForkedProcesses() as processes:
        patch.setattr(isolated_start, "_ZYGOTE", ZYGOTE)
        patch.setattr(isolated_start, "start_process", lambda folder, patience: (0, "started anew"))
        yield processes


@pytest.fixture
def act(forked, tmp_path):
    """Lets a process act; returns its exit code and its words."""

    def run(name, patience=60):
        (tmp_path / name).mkdir(exist_ok=True)
        return forked(tmp_path / name, patience)

    return run


def wait_until_gone(pid):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    pytest.fail(f"process {pid} is still there")


def written_pid(path):
    deadline = time.monotonic() + 20
    while not (path.exists() and path.read_text().endswith(".")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return int(path.read_text()[:-1])


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("raises", 1, "IndexError: list index out of range"),
        ("exits", 3, ""),
        ("exits with words", 1, "words"),
        ("is killed", -signal.SIGKILL, ""),
    ],
)
def test_says_how_a_process_has_ended(act, name, code, words):
    found, written = act(name)
    assert found == code
    assert written.strip().split("\n")[-1] == words


def test_a_process_that_takes_too_long_is_ended(act, tmp_path):
    assert act("sleeps", patience=3) == (None, "")
    wait_until_gone(written_pid(tmp_path / "sleeps" / "pid.txt"))


def test_a_process_that_leaves_another_is_not_waited_for_longer(act, tmp_path):
    assert act("leaves") == (4, "")
    os.kill(written_pid(tmp_path / "leaves" / "pid.txt"), signal.SIGKILL)


def test_a_process_reads_nothing_and_its_stderr_is_kept(act, tmp_path):
    assert act("speaks") == (0, "on stderr\n")
    assert (tmp_path / "speaks" / "read.txt").read_text() == ""


@pytest.mark.skipif("PYTHONHASHSEED" in os.environ, reason="all processes have one seed of hashes")
def test_a_process_knows_of_no_other(act, tmp_path):
    act("speaks")
    assert act("tells") == (0, "")
    found = json.loads((tmp_path / "tells" / "told.json").read_text())
    assert found["known"] == found["argv"] == []
    assert found["hash"] != hash("a text")


def test_a_zygote_that_died_is_replaced(act):
    assert act("kills the zygote") == (0, "started anew")
    assert act("exits") == (3, "")


@pytest.mark.parametrize("module", ["no_such_module", "this"])  # the second prints
def test_a_zygote_that_cannot_answer_is_not_needed(monkeypatch, tmp_path, module):
    monkeypatch.setattr(isolated_start, "_ZYGOTE", module)
    monkeypatch.setattr(isolated_start, "start_process", lambda folder, patience: (0, "started anew"))
    with ForkedProcesses() as processes:
        assert processes(tmp_path, 60) == (0, "started anew")


def test_all_end_with_whoever_asks(tmp_path):
    (tmp_path / "sleeps").mkdir()
    zygote = subprocess.Popen(
        [sys.executable, "-m", ZYGOTE], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    zygote.stdin.write(json.dumps([str(tmp_path / "sleeps"), 100]) + "\n")
    zygote.stdin.flush()
    pid = written_pid(tmp_path / "sleeps" / "pid.txt")
    zygote.communicate(timeout=20)  # closes its stdin
    wait_until_gone(pid)
