import os
import signal
import subprocess
import sys

import pytest

from benchmark.core.interrupts import interrupts_held
from benchmark.core.source import ROOT

if not hasattr(signal, "pthread_sigmask"):
    pytest.skip("there are no signal masks", allow_module_level=True)

IMPORTED = """
import pathlib, time
pathlib.Path("begun").touch()
time.sleep(1)
pathlib.Path("whole").touch()
"""

SCRIPT = """
import multiprocessing, os, pathlib, signal, time
from multiprocessing import forkserver
from benchmark.core.interrupts import interrupts_held

signal.signal(signal.SIGINT, lambda *arguments: pathlib.Path("noticed").touch())
multiprocessing.get_context("forkserver").set_forkserver_preload(["imported"])
with interrupts_held():
    forkserver.ensure_running()
for name in ("begun", "whole"):
    while not pathlib.Path(name).exists():
        time.sleep(0.02)
    if name == "begun":
        os.killpg(0, signal.SIGINT)
"""


def test_a_signal_comes_after_the_block():
    came = []
    before = signal.signal(signal.SIGINT, lambda *arguments: came.append(arguments))
    try:
        with interrupts_held():
            signal.raise_signal(signal.SIGINT)  # in this thread
            assert not came
        assert came
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_process_that_others_are_forked_from_imports_whole(tmp_path):
    (tmp_path / "imported.py").write_text(IMPORTED)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=30,
        start_new_session=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "noticed").exists()


LEFT = """
import multiprocessing, os, signal, subprocess, time
from benchmark.core.interrupts import interrupts_held, leave_signals_to_parent

with interrupts_held(signal.SIGTERM):
    leave_signals_to_parent()
    for signum in (signal.SIGINT, signal.SIGTERM):
        os.kill(os.getpid(), signum)
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.map(abs, [-1, 2]) == [1, 2]
with subprocess.Popen(["sleep", "100"]) as process:
    process.terminate()
assert process.returncode == -signal.SIGTERM
child = os.fork()
if not child:
    time.sleep(100)
os.kill(child, signal.SIGTERM)  # most likely before it is a Python of its own
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
"""


def test_signals_are_left_to_the_parent_and_children_can_be_terminated():
    done = subprocess.run([sys.executable, "-c", LEFT], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")


def test_nothing_is_held_where_there_are_no_signal_masks(monkeypatch):
    monkeypatch.delattr(signal, "pthread_sigmask")
    with interrupts_held():
        pass
