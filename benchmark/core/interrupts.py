"""Processes that Ctrl-C, which goes to the whole group, does not end while they import."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Holds SIGINT back within the block, in this thread; it comes after the block.

    A process or thread that is started in the block holds it back as long as it runs, unless it ignores or
    unblocks it itself. Nothing is held where there are no signal masks, as on Windows.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    # `multiprocessing` starts it with the first process, and lets signals through again then.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
