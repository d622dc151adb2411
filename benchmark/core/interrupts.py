"""Processes that Ctrl-C, which goes to the whole group, does not end while they import."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Lets processes and threads that are started within the block hold SIGINT back as long as they run.

    They may ignore or unblock it themselves. This thread holds it back until the end of the block; another
    thread of this process may take it earlier. Nothing is held where there are no signal masks (Windows).
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
