"""Whole runs that a signal stops: the board so far, the exit status, and the run after it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from benchmark.core.source import ROOT

from .test_run import larger, run, values

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_figures")]  # whole runs

LONG = 240
"""Seconds that a process may take, on a machine with much else to do."""


@pytest.mark.parametrize(
    ("send", "pattern", "status"),
    [
        (lambda process: process.send_signal(signal.SIGINT), "unfinished/*.safetensors", 130),
        (lambda process: os.killpg(process.pid, signal.SIGTERM), "cells/*.json", 143),  # with its workers
    ],
)
def test_a_stopped_run_writes_the_board_and_resumes(tiny, tmp_path, send, pattern, status):
    larger(tiny, save_every=0, training={"epochs": 30, "batch_size": 64})
    output = tmp_path / "out"
    process = subprocess.Popen(
        [
            sys.executable,
            "run_benchmark.py",
            "--config",
            str(tiny),
            "--output",
            str(output),
            "--workers",
            "1",
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + LONG
    while not any((output / "store").glob(pattern)):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    send(process)
    _, said = process.communicate(timeout=LONG)
    assert process.returncode == status, said
    board = f"{output / 'leaderboard.md'} (in a browser: {output / 'leaderboard.html'})"
    assert f"The board so far: {board}. What was done is kept" in said
    assert "Traceback" not in said
    assert (output / "leaderboard.csv").exists()
    assert not list((output / "store" / "leases").iterdir())
    assert any(row for row in values(output) if "done" not in row)
    assert run(tiny, output) == 0
    assert run(tiny, tmp_path / "whole") == 0
    assert values(output) == values(tmp_path / "whole")
