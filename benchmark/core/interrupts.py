"""Signals that go to a whole group, such as Ctrl-C, and are for the process alone that started the others."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interrupts_held(*also: int) -> Iterator[None]:
    """Lets processes and threads that are started within the block hold SIGINT back as long as they run.

    They may ignore or unblock it themselves. This thread holds it back until the end of the block; another
    thread of this process may take it earlier. Nothing is held where there are no signal masks (Windows).

    Args:
        also: other signals that are held back.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    # `multiprocessing` starts it with the first process, and lets signals through again then.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, *also})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_signals_to_parent() -> None:
    """Ignores SIGINT and SIGTERM in this process, and holds back neither.

    What it starts ignores SIGINT too. It dies of SIGTERM: a model may start processes and terminate them, and
    would wait for ever if they ignored that.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _ignore)  # not SIG_IGN, which programs that are started here would keep
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
        # Held back meanwhile: Python forgets what came to a child before it knew that it was one.
        os.register_at_fork(before=_hold_sigterm, after_in_parent=_let_sigterm, after_in_child=_heed_sigterm)


def _ignore(signum: int, frame: FrameType | None) -> None:
    pass


_HELD = threading.local()
"""The signals that a thread which forks held back before."""


def _hold_sigterm() -> None:
    _HELD.before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _let_sigterm() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _HELD.before)


def _heed_sigterm() -> None:
    if signal.getsignal(signal.SIGTERM) is _ignore:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _let_sigterm()


def die_of(signum: int) -> None:
    """Ends this process as a signal does that it has no handler for: one that was forked has the parent's."""
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)
