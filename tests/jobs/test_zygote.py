"""Processes that are forked to embed images alone, by a zygote in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from benchmark.core.source import ROOT

if not hasattr(os, "fork"):
    pytest.skip("there is no fork", allow_module_level=True)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("folders")


@pytest.fixture(scope="module")
def said(root):
    """What the script says before it is killed."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.jobs.zygote_script", str(root)],
        cwd=ROOT,
        input="for the script alone",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not done.stderr
    return json.loads(done.stdout)


def wait_until_gone(pid):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    pytest.fail(f"process {pid} is still there")


@pytest.mark.parametrize(
    ("act", "code", "words"),
    [
        ("raises", 1, "IndexError: list index out of range"),
        ("exits", 3, ""),
        ("exits with words", 1, "words"),
        ("is killed", -signal.SIGKILL, ""),
        ("sleeps", None, ""),
    ],
)
def test_says_how_a_process_has_ended(said, act, code, words):
    found, written = said["found"][act]
    assert found == code
    assert written.strip().split("\n")[-1] == words


@pytest.mark.parametrize("act", ["speaks", "speaks at the end"])
def test_a_process_reads_nothing_and_its_stderr_is_kept(said, root, act):
    assert said["found"][act] == [0, "on stderr\n"]
    assert (root / act / "read.txt").read_text() == "''"


@pytest.mark.usefixtures("said")
def test_a_process_knows_of_no_job_and_of_no_other_process(root):
    for act in ("remembers", "remembers again"):
        assert (root / act / "known.txt").read_text() == "[]"


def test_the_zygote_keeps_no_other_connection_open(said):
    assert said["closed"]


def test_a_process_that_takes_too_long_is_ended(said):
    wait_until_gone(said["late"])


@pytest.mark.usefixtures("said")
def test_all_end_with_the_process_that_made_the_zygote(root):
    sleeping, zygote = map(int, (root / "sleeps" / "pids.txt").read_text().split()[:2])
    wait_until_gone(sleeping)
    wait_until_gone(zygote)
