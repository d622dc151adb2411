"""Whole runs that are killed or stopped in the middle of an attack, and the runs after them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml

from benchmark.core.source import ROOT

from .test_run import run, values

pytestmark = [pytest.mark.first, pytest.mark.slow, pytest.mark.usefixtures("without_figures")]  # whole runs

LONG = 240
"""Seconds that a process may take, on a machine with much else to do."""

COUNTED = '''
"""An objective that counts its calls in a file, and takes its time."""

import time
from pathlib import Path

from attacks import OBJECTIVES
from attacks.objectives.own import Own
from attacks.objectives.recluster import Recluster


def counted(score):
    def call(embeddings, index):
        with Path(__file__).with_name("calls").open("ab") as file:
            file.write(b".")
        time.sleep(0.01)
        return score(embeddings, index)

    return call


@OBJECTIVES.register("counted")
class Counted(Own):
    """As `own`."""

    def bind(self, problem):
        return counted(super().bind(problem))


class CountedScore:
    def __init__(self, score):
        self.score = score
        self.observe, self.state_dict = score.observe, score.state_dict
        self.load_state_dict = score.load_state_dict
        self.call = counted(score)

    def __call__(self, embeddings, index):
        return self.call(embeddings, index)


@OBJECTIVES.register("counted_jointly")
class CountedJointly(Recluster):
    """As `recluster`."""

    def bind(self, problem):
        return CountedScore(super().bind(problem))
'''


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    path = tmp_path_factory.mktemp("plugin") / "counted_plugin.py"
    path.write_text(COUNTED)
    return path


def written(output):
    """When each saved state was written."""
    return {
        path.name: path.stat().st_mtime_ns for path in (output / "store" / "unfinished").glob("*.safetensors")
    }


def interrupt(send, output, *arguments):
    """Starts a run, and sends it a signal once an attack is saved; returns the exit status and stderr."""
    process = subprocess.Popen(
        [sys.executable, "run_benchmark.py", "--output", str(output), "--workers", "1", *arguments],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline, before = time.monotonic() + LONG, written(output)
    while written(output) == before:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    send(process)
    _, said = process.communicate(timeout=LONG)
    return process.returncode, said


def cells(output):
    """The records of cells by their ids, without when and how fast they were computed."""
    found = [json.loads(path.read_text()) for path in (output / "store" / "cells").glob("*.json")]
    ignored = ("provenance", "seconds", "usage", "checksum")
    return {cell["id"]: {k: v for k, v in cell.items() if k not in ignored} for cell in found}


def kill(process):
    os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("objective", ["counted", "counted_jointly"])
def test_an_attack_resumes_after_a_kill_and_after_a_signal(tiny, tmp_path, plugin, objective):
    calls = plugin.with_name("calls")
    changes = {"save_every": 0.3, "attacks": ["noise"]}
    tiny.write_text(yaml.safe_dump({**yaml.safe_load(tiny.read_text()), **changes}))
    trained, out, whole = (tmp_path / name for name in ("trained", "out", "whole"))
    arguments = ["--plugin", str(plugin)]
    assert run(tiny, trained, *arguments) == 0
    for copy in (out, whole):
        shutil.copytree(trained, copy)
    arguments += ["--attacks", f"noise,pgd[objective={objective},steps=120]", "--eps", "8/255"]

    calls.write_bytes(b"")
    assert run(tiny, whole, *arguments) == 0
    undisturbed = calls.stat().st_size

    status, _ = interrupt(kill, out, "--config", str(tiny), *arguments)
    assert status == -signal.SIGKILL
    (before,) = written(out).values()
    status, said = interrupt(
        lambda process: process.send_signal(signal.SIGINT), out, "--config", str(tiny), *arguments
    )
    assert status == 130
    assert "Stopping. 1 running jobs save their state" in said and "Traceback" not in said
    (after,) = written(out).values()
    assert after > before
    assert not cells(out).keys() >= cells(whole).keys()

    calls.write_bytes(b"")
    assert run(tiny, out, *arguments) == 0
    assert 0 < calls.stat().st_size < undisturbed
    assert cells(out) == cells(whole)
    assert values(out) == values(whole)
    assert not list((out / "store" / "unfinished").iterdir())
