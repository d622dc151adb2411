"""What a real run shows, on a terminal and in a pipe, and what its log and its records hold."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.core.source import ROOT

pytestmark = pytest.mark.slow  # whole runs

pty = pytest.importorskip("pty", reason="needs pseudo-terminals")


def command(tiny, output, *more):
    script = str(ROOT / "run_benchmark.py")
    return [sys.executable, script, "--config", str(tiny), "--output", str(output), "--workers", "2", *more]


def on_terminal(arguments, monkeypatch):
    """Runs a command on a pseudo-terminal of 24 x 100; returns its exit status and what it wrote."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LINES", "24")
    written = bytearray()

    def read(descriptor):
        data = os.read(descriptor, 4096)
        written.extend(data)
        return data

    stdout = os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)  # `pty.spawn` copies all to it
    try:
        status = pty.spawn(arguments, read)
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)
        os.close(nowhere)
    return os.waitstatus_to_exitcode(status), written.decode("utf-8", "replace")


def test_a_terminal_gets_the_live_view(tiny, tmp_path, monkeypatch):
    status, text = on_terminal(command(tiny, tmp_path / "out"), monkeypatch)
    assert status == 0
    assert "\x1b[?25l" in text and "\x1b[?25h" in text  # the cursor is hidden, and shown again
    assert re.search(r"\d+ jobs:", text)
    assert "running" in text and "100 % in " in text and "all done" in text
    drawn = text.rpartition("jobs:")[2]
    assert "\u2713" in drawn and "\u2717" not in drawn
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[\d*[AK]", "\n", text))
    plain = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in lines]
    assert max(len(line) for line in plain if "The board:" not in line and "To do:" not in line) <= 100


def test_a_pipe_gets_lines_and_tensorboard_and_the_records_what_was_used(tiny, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    output = tmp_path / "out"
    done = subprocess.run(
        command(tiny, output, "--log", "tensorboard"), capture_output=True, text=True, timeout=600, check=True
    )
    assert "\x1b" not in done.stdout
    ended = [line for line in done.stdout.splitlines() if " - done in " in line]
    assert ended
    assert re.match(rf"\[{len(ended)}/{len(ended)}\] ", ended[-1])
    assert "0 s left" not in done.stdout
    events = EventAccumulator(str(output / "tensorboard"))
    events.Reload()
    tags = events.Tags()["scalars"]
    models = [json.loads(path.read_text()) for path in Path(output / "store" / "models").glob("*.json")]
    cells = [json.loads(path.read_text()) for path in Path(output / "store" / "cells").glob("*.json")]
    assert sum(tag.endswith("/loss") for tag in tags) == len([one for one in models if one["curve"]])
    assert sum(tag.endswith("/r1") for tag in tags) == len([one for one in cells if "r1" in one["metrics"]])
    for record in [*models, *cells]:
        assert record["usage"]["device"] == "cpu"
        assert record["usage"]["peak_memory"] > 50 << 20
        assert record["usage"]["cpu_utilization"] > 0
