import faulthandler
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from benchmark.core.child_process import (
    ChildEndedError,
    call_in_child,
    call_in_children,
    forkable,
    iterate_in_child,
)
from benchmark.core.errors import BenchmarkError, UsageError
from benchmark.core.source import ROOT

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="children are forked on Linux"),
    pytest.mark.skipif(torch.cuda.is_available(), reason="children are not forked beside CUDA"),
]


@pytest.fixture(autouse=True)
def may_fork():
    with forkable():
        yield


def test_answers_come_in_the_order_of_the_calls_from_children():
    here = os.getpid()
    answers = call_in_children([lambda n=n: (n, os.getpid()) for n in range(5)], at_once=2)
    assert [number for number, _ in answers] == list(range(5))
    assert len({here, *(pid for _, pid in answers)}) == 6


def test_calls_are_made_side_by_side_up_to_the_number_allowed(tmp_path):
    def meet():
        """Waits until both are there."""
        (tmp_path / str(os.getpid())).touch()
        deadline = time.monotonic() + 10
        while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        return len(list(tmp_path.iterdir()))

    assert call_in_children([meet, meet], at_once=2) == [2, 2]


def test_nothing_to_call_is_no_error():
    assert call_in_children([]) == []


def _usage_error():
    raise UsageError("wrong")


def _unpicklable():
    class LocalError(ValueError):
        pass

    raise LocalError("first\nsecond")


def _interrupt():
    raise KeyboardInterrupt


def _exit():
    sys.exit(3)


def _crash():
    faulthandler.disable()
    os.kill(os.getpid(), signal.SIGSEGV)


def test_errors_are_raised_here_as_they_are_or_described():
    with pytest.raises(UsageError, match=r"^wrong$"):
        call_in_child(_usage_error)
    for call, said in (
        (_unpicklable, "LocalError: first"),
        (_exit, "SystemExit: 3"),
        (lambda: lambda: 0, "pickle"),
    ):
        (found,) = call_in_children([call])
        assert said in str(found)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: os._exit(0), "its process ended (exit code 0)"),
        (_crash, "its process ended (killed by SIGSEGV)"),
        (
            lambda: os.kill(os.getpid(), signal.SIGKILL),
            "its process ended (killed by SIGKILL; out of memory?)",
        ),
        (_interrupt, "it raised KeyboardInterrupt"),
    ],
)
def test_a_child_that_ends_costs_its_own_call(call, said):
    first, second, third = call_in_children([lambda: 1, call, lambda: 3], at_once=2)
    assert (first, third) == (1, 3)
    assert isinstance(second, ChildEndedError)
    assert str(second) == said


def test_a_call_whose_child_is_killed_is_made_again(tmp_path):
    def killed_at_first():
        path = tmp_path / "tries"
        with path.open("a") as file:
            file.write("x")
        if path.stat().st_size < 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return path.stat().st_size

    assert call_in_child(killed_at_first) == 3


def test_values_come_as_they_are_made_until_the_child_ends(tmp_path):
    def values():
        yield 1
        while not (tmp_path / "first").exists():
            time.sleep(0.01)
        yield os.getpid()
        os._exit(7)

    found = iterate_in_child(values)
    assert next(found) == 1
    (tmp_path / "first").touch()
    assert next(found) != os.getpid()
    with pytest.raises(ChildEndedError, match="exit code 7"):
        next(found)


def test_values_end_with_what_ends_them():
    assert list(iterate_in_child(lambda: iter([]))) == []
    with pytest.raises(BenchmarkError, match=r"^ZeroDivisionError: "):
        list(iterate_in_child(lambda: (1 / n for n in (1, 0))))


def _fork_and_forget():
    if not os.fork():
        raise RuntimeError("in a process that the call forked")
    return os.getpid()


def test_a_process_that_a_call_forks_does_not_go_on_as_this_one():
    here = os.getpid()
    assert call_in_child(_fork_and_forget) != here
    assert os.getpid() == here


def _leave_a_process(path):
    child = os.fork()
    if not child:
        time.sleep(100)
    Path(path).write_text(str(child))
    os._exit(0)


def test_what_a_child_started_is_waited_for_no_longer_than_the_child_and_ended(tmp_path):
    with pytest.raises(ChildEndedError):
        call_in_child(lambda: _leave_a_process(tmp_path / "pid"))
    left = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 10
    while _runs(left) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _runs(left)


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_call_may_start_processes_and_terminate_them():
    def pooled():
        with multiprocessing.get_context("fork").Pool(2) as pool:
            return pool.map(abs, [-1, 2])

    assert call_in_child(pooled) == [1, 2]


def test_calls_that_are_killed_beside_others_are_made_alone(tmp_path):
    def alone():
        mine = tmp_path / str(os.getpid())
        mine.touch()
        time.sleep(0.1)
        others = [one for one in tmp_path.iterdir() if one != mine and _runs(int(one.name))]
        if others:
            os.kill(os.getpid(), signal.SIGKILL)
        return "done"

    assert call_in_children([alone] * 4, at_once=4) == ["done"] * 4


def test_nothing_is_forked_where_that_is_not_allowed():
    context = multiprocessing.get_context("fork")
    with context.Pool(1) as pool:  # its processes may have no children
        assert len({*pool.apply(_both_pids)}) == 1


def _both_pids():
    return os.getpid(), call_in_child(os.getpid)


INTERRUPTED = """
import os, signal, sys, time
from pathlib import Path
from benchmark.core.child_process import call_in_child, forkable

def endless():
    Path("pid").write_text(str(os.getpid()))
    time.sleep(100)

signal.signal(signal.SIGINT, signal.default_int_handler)
with forkable():
    call_in_child(endless)
"""


@pytest.mark.parametrize(
    "signums", [[signal.SIGINT], [signal.SIGKILL], [signal.SIGINT] * 2], ids=["SIGINT", "SIGKILL", "twice"]
)
def test_children_end_with_this_process(tmp_path, signums):
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    ) as process:
        pid = tmp_path / "pid"
        while not (pid.exists() and pid.read_text()):
            assert process.poll() is None
            time.sleep(0.02)
        for signum in signums:
            process.send_signal(signum)
            time.sleep(0.001)
        process.wait(10)
    deadline = time.monotonic() + 10
    while _runs(int(pid.read_text())) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _runs(int(pid.read_text()))


def test_elsewhere_the_calls_are_made_in_this_process(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    answers = call_in_children([os.getpid, _usage_error, _exit])
    assert answers[0] == os.getpid()
    assert [str(error) for error in answers[1:]] == ["wrong", "SystemExit: 3"]
