"""The first signal is noted, the second raises; real signals to this process."""

import os
import select
import signal
import subprocess
import sys
import threading

import pytest

from benchmark.core.errors import StoppedAtOnce
from benchmark.core.source import ROOT
from benchmark.runner import stop_signals
from benchmark.runner.stop_signals import EarlySignals, StopSignals


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_noted_and_the_second_raises(monkeypatch, signum):
    monkeypatch.setattr(stop_signals, "_ONE", -1.0)
    before = signal.getsignal(signum)
    with StopSignals() as signals:
        assert signals.signum is None
        signal.raise_signal(signum)
        assert signals.signum == signum
        assert select.select([signals.wakeup], [], [], 0)[0]
        with pytest.raises(StoppedAtOnce) as raised:
            signal.raise_signal(signal.SIGTERM)
        assert raised.value.exit_status == 143
    assert signal.getsignal(signum) is before


def test_two_signals_at_once_count_as_one(monkeypatch):
    monkeypatch.setattr(stop_signals, "_ONE", 60.0)
    with StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.signum == signal.SIGTERM


def test_an_ignored_signal_stays_ignored(monkeypatch):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopSignals() as signals:
            signal.raise_signal(signal.SIGINT)
            assert signals.signum is None
    finally:
        signal.signal(signal.SIGINT, before)


def test_outside_the_main_thread_nothing_is_changed():
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def use():
        with StopSignals():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert seen == [before]


def test_outside_of_jobs_each_signal_stops_at_once_and_is_noted():
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    early = EarlySignals()
    early.install()
    try:
        for signum, status in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
            with pytest.raises(StoppedAtOnce) as raised:
                signal.raise_signal(signum)
            assert early.error is raised.value
            assert raised.value.exit_status == status
            assert isinstance(raised.value, KeyboardInterrupt)
        with StopSignals() as signals:
            signal.raise_signal(signal.SIGINT)
            assert signals.signum == signal.SIGINT
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


FORKED = """
import os, signal, sys, time
from benchmark.runner.stop_signals import EarlySignals, StopSignals

signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored where the tests run
EarlySignals().install()
for signals in (None, StopSignals()):
    if signals is not None:
        signals.__enter__()
    for signum in (signal.SIGINT, signal.SIGTERM):
        reads, writes = os.pipe()
        child = os.fork()
        if not child:
            os.write(writes, b"x")  # before, Python may lose a signal
            while True:
                time.sleep(0.01)  # short: one that comes just before a sleep is heeded after it
        os.read(reads, 1)
        os.kill(child, signum)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signum
assert signals.signum is None
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_process_that_a_plugin_forks_dies_of_a_signal_without_a_traceback():
    done = subprocess.run(
        [sys.executable, "-c", FORKED], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
