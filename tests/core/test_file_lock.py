"""A lock is held by one process at a time, and ends with it."""

import multiprocessing
import time

from benchmark.core.file_lock import locked


def _hold(path, held):
    with locked(path):
        held.set()
        time.sleep(600)


def test_it_waits_for_the_process_that_holds_it(tmp_path):
    path = tmp_path / "lock"
    with locked(path):
        pass
    context = multiprocessing.get_context("fork")
    held = context.Event()
    process = context.Process(target=_hold, args=(path, held))
    process.start()
    assert held.wait(20)
    waiting = context.Process(target=_take, args=(path,))
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive()
    process.kill()
    waiting.join(20)
    assert waiting.exitcode == 0


def _take(path):
    with locked(path):
        pass


def test_without_a_folder_nothing_is_locked(tmp_path):
    with locked(tmp_path / "none" / "lock"):
        assert not list(tmp_path.iterdir())
