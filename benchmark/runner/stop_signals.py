"""Signals that stop a run: the first lets running jobs save their state, the second stops at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType

from benchmark.core.errors import StoppedAtOnce
from benchmark.core.interrupts import die_of

_ONE = 0.1
"""Seconds within which two signals count as one: some programs send each to a process and to its group."""


class StopSignals:
    """Notes the first SIGINT or SIGTERM within the `with` block; a second raises `StoppedAtOnce`.

    Outside the main thread, and for a signal that the process ignores, nothing is changed.

    Args:
        on_first: called at the first signal.

    Attributes:
        signum: the first signal's number; None before it.
        wakeup: a file descriptor that can be read from after the first signal.
    """

    def __init__(self, on_first: Callable[[], None] = lambda: None) -> None:
        self.signum: int | None = None
        self._here = os.getpid()
        self._on_first = on_first
        self._at = 0.0
        self._before: dict[int, signal._HANDLER] = {}
        self.wakeup, self._write = -1, -1

    def __enter__(self) -> StopSignals:
        self.wakeup, self._write = os.pipe()
        if threading.current_thread() is threading.main_thread():
            for signum in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(signum) is not signal.SIG_IGN:  # as nohup does
                    self._before[signum] = signal.signal(signum, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        os.close(self.wakeup)
        os.close(self._write)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if os.getpid() != self._here:
            die_of(signum)
        elif self.signum is None:
            self.signum, self._at = signum, time.monotonic()
            os.write(self._write, b"\0")
            self._on_first()
        elif time.monotonic() - self._at > _ONE:
            raise StoppedAtOnce(signum)


class EarlySignals:
    """Lets SIGINT and SIGTERM raise `StoppedAtOnce`, where no jobs run; `StopSignals` replaces it there.

    Attributes:
        error: what the latest signal raised; None before one. A library that was being imported may turn it
            into an error of another kind.
        handled: the signals that are handled.
    """

    def __init__(self) -> None:
        self.error: StoppedAtOnce | None = None
        self.handled: list[int] = []
        self._here = os.getpid()

    def install(self) -> None:
        """Handles both signals from now on, unless the process ignores them, as under nohup."""
        for signum in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(signum) is not signal.SIG_IGN:
                signal.signal(signum, self._handle)
                self.handled.append(signum)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if os.getpid() != self._here:
            die_of(signum)
            return
        self.error = StoppedAtOnce(signum)
        raise self.error
