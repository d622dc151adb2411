"""A child process that yields values to the process that it was forked from."""

from __future__ import annotations

import atexit
import multiprocessing
import multiprocessing.util
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Generic, TypeVar

from benchmark.core.errors import BenchmarkError
from benchmark.core.interrupts import interrupts_held, leave_signals_to_parent
from benchmark.core.processes import end_with_parent, how_ended, leave_if_forked

T = TypeVar("T")

PATIENCE = 0.2
"""Seconds between two looks at the children, at most: what they started may hold their connections open."""

_NAME = "benchmark child"
"""The name of the processes, for `multiprocessing`."""


class ChildEndedError(BenchmarkError):
    """A child process ended, or was to be ended, before it answered.

    Args:
        how: what became of it, as a clause.
        killed: whether SIGKILL has ended it, which is most likely not its own doing.
    """

    def __init__(self, how: str, killed: bool = False) -> None:
        super().__init__(how)
        self.killed = killed


@atexit.register  # after `multiprocessing.util`, and so called before it waits for them
def _kill_left() -> None:
    """Kills the children that a signal has made this process forget."""
    for process in multiprocessing.active_children():
        if process.name == _NAME:
            _kill(process)


def _kill(process: BaseProcess) -> None:
    """Kills a child, and all that it started and that is still of its group."""
    for kill in (os.killpg, os.kill) if process.exitcode is None else (os.killpg,):  # it may not lead one yet
        with suppress(ProcessLookupError, PermissionError):
            kill(process.pid or 0, signal.SIGKILL)


class Child(Generic[T]):
    """A child process that yields values to this one."""

    def __init__(self, values: Callable[[], Iterator[T]]) -> None:
        context = multiprocessing.get_context("fork")
        self.connection, theirs = context.Pipe(duplex=False)
        self._process = context.Process(target=_serve, args=(theirs, values), name=_NAME)
        try:
            with interrupts_held(signal.SIGTERM), warnings.catch_warnings():
                # Other threads of this process hold no lock that the child takes.
                warnings.filterwarnings("ignore", ".*multi-threaded.*fork", DeprecationWarning)
                self._process.start()
        except BaseException as error:
            self.connection.close()
            if isinstance(error, OSError):
                raise BenchmarkError(f"No process can be started: {error.strerror}.") from None
            raise
        finally:
            theirs.close()

    def __enter__(self) -> Child[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def has_said(self) -> bool:
        """Whether there is something to read, or it has ended."""
        return self.connection.poll() or self._process.exitcode is not None

    def next(self) -> Said[T]:
        """Waits for the next value, or the end of them."""
        while not self.has_said():
            wait([self.connection], PATIENCE)
        with suppress(EOFError, OSError):
            if self.connection.poll():
                said: Said[T] = self.connection.recv()
                return said
        self._process.join(PATIENCE)
        code = self._process.exitcode
        how = "no answer" if code is None else how_ended(code)
        return Said((), ChildEndedError(f"its process ended ({how})", killed=code == -signal.SIGKILL))

    def end(self) -> None:
        """Ends it, and all that it started and that is still of its group."""
        _kill(self._process)
        self._process.join()
        self.connection.close()


@dataclass(frozen=True)
class Said(Generic[T]):
    """What a child says.

    Attributes:
        value: the next value, alone; empty at the end.
        error: what ended the values.
    """

    value: tuple[()] | tuple[T]
    error: Exception | None = None


def _serve(connection: Connection, values: Callable[[], Iterator[T]]) -> None:
    os.setpgid(0, 0)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # it is no longer of the terminal's group, and may write
    leave_signals_to_parent()
    end_with_parent()
    here = os.getpid()

    def send(said: Said[T]) -> None:
        leave_if_forked(here)
        sys.stdout.flush()
        connection.send(said)

    try:
        for value in values():
            send(Said((value,)))
        send(Said(()))
    except (Exception, SystemExit) as error:  # also what cannot be pickled
        send(Said((), sendable(error)))
    except BaseException as error:  # such as KeyboardInterrupt: signals raise none here
        send(Said((), ChildEndedError(f"it raised {type(error).__name__}")))


def sendable(error: BaseException) -> BenchmarkError:
    """Returns an error that another process can be sent: one of the project, or its type and message."""
    if isinstance(error, BenchmarkError) and type(error).__module__ == BenchmarkError.__module__:
        return error
    first = str(error).strip().split("\n", 1)[0]
    return BenchmarkError(f"{type(error).__name__}{': ' if first else ''}{first}")
