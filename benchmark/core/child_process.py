"""Calls in child processes, so that other people's code that ends its process ends no other."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Generic, TypeVar

import torch

from benchmark.core.errors import BenchmarkError
from benchmark.core.hardware import one_thread
from benchmark.core.interrupts import interrupts_held, leave_signals_to_parent
from benchmark.core.processes import end_with_parent, how_ended, leave_if_forked

T = TypeVar("T")

_PATIENCE = 0.2
"""Seconds between two looks at the children, at most: what they started may hold their connections open."""


_TRIES = 3
"""How often a call is made whose child is killed."""

_FORKABLE = ContextVar("forkable", default=False)


class ChildEndedError(BenchmarkError):
    """A child process ended, or was to be ended, before it answered.

    Args:
        how: what became of it, as a clause.
        killed: whether SIGKILL has ended it, which is most likely not its own doing.
    """

    def __init__(self, how: str, killed: bool = False) -> None:
        super().__init__(how)
        self.killed = killed


def call_in_children(calls: Sequence[Callable[[], T]], at_once: int = 1) -> list[T | Exception]:
    """Makes each call in a child of its own, forked from this process.

    A child ignores Ctrl-C. When it has answered, it is ended with all that it started. One that was killed,
    as for want of memory, is replaced. Where this process may not be forked, it makes the calls itself:
    outside of `forkable`, on systems other than Linux, and where there is CUDA, whose state in a child is
    undefined.

    Args:
        calls: the calls; what they return can be pickled.
        at_once: number of children side by side.

    Returns:
        For each call what it returned or raised; an error that cannot be pickled as a `BenchmarkError` with
        its type and message, and `ChildEndedError` where the child ended without an answer.

    Raises:
        BenchmarkError: when no process can be started.
    """
    if not _can_fork():
        return [_made_here(call) for call in calls]
    waiting = deque((number, call, _TRIES) for number, call in enumerate(calls))
    running: dict[int, tuple[_Child[T], int]] = {}
    found: dict[int, T | Exception] = {}
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                number, call, tries = waiting.popleft()
                running[number] = _Child(partial(_one, call)), tries - 1
            wait([child.connection for child, _ in running.values()], _PATIENCE)
            for number in [number for number, (child, _) in running.items() if child.has_said()]:
                child, tries = running[number]
                said = child.next()
                running.pop(number)[0].end()
                answer = said.value[0] if said.value else said.error or ChildEndedError("no answer")
                if tries and isinstance(answer, ChildEndedError) and answer.killed:
                    waiting.append((number, calls[number], tries))
                else:
                    found[number] = answer
    finally:
        for child, _ in running.values():
            child.end()
    return [found[number] for number in range(len(calls))]


def call_in_child(call: Callable[[], T]) -> T:
    """Makes a call in a child, as `call_in_children`, and returns or raises what it did."""
    (found,) = call_in_children([call])
    if isinstance(found, Exception):
        raise found
    return found


def iterate_in_child(values: Callable[[], Iterator[T]]) -> Iterator[T]:
    """Yields what a function yields in a child, as it comes, and raises what it raises.

    The child is one of `call_in_children`.

    Args:
        values: yields values that can be pickled.

    Raises:
        ChildEndedError: when the child ended before the last value.
    """
    if not _can_fork():
        yield from values()
        return
    with _Child(values) as child:
        while (said := child.next()).value:
            yield said.value[0]
        if said.error is not None:
            raise said.error


@contextmanager
def forkable() -> Iterator[None]:
    """Lets `call_in_children` fork this process within the block, and limits torch to one thread.

    A process must not have run several threads of OpenMP: in a child they are missing, and a plugin that asks
    for them would wait for ever.
    """
    token = _FORKABLE.set(True)
    try:
        with one_thread():
            yield
    finally:
        _FORKABLE.reset(token)


def _can_fork() -> bool:
    return _FORKABLE.get() and sys.platform == "linux" and not torch.cuda.is_available()


class _Child(Generic[T]):
    """A child process that yields values to this one."""

    def __init__(self, values: Callable[[], Iterator[T]]) -> None:
        context = multiprocessing.get_context("fork")
        self.connection, theirs = context.Pipe(duplex=False)
        self._process = context.Process(target=_serve, args=(theirs, values))
        try:
            with interrupts_held(signal.SIGTERM), warnings.catch_warnings():
                # Other threads of this process hold no lock that the child takes.
                warnings.filterwarnings("ignore", ".*multi-threaded.*fork", DeprecationWarning)
                self._process.start()
        except OSError as error:
            self.connection.close()
            raise BenchmarkError(f"No process can be started: {error.strerror}.") from None
        finally:
            theirs.close()

    def __enter__(self) -> _Child[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def has_said(self) -> bool:
        """Whether there is something to read, or it has ended."""
        return self.connection.poll() or self._process.exitcode is not None

    def next(self) -> _Said[T]:
        """Waits for the next value, or the end of them."""
        while not self.has_said():
            wait([self.connection], _PATIENCE)
        with suppress(EOFError, OSError):
            if self.connection.poll():
                said: _Said[T] = self.connection.recv()
                return said
        self._process.join(_PATIENCE)
        code = self._process.exitcode
        how = "no answer" if code is None else how_ended(code)
        return _Said((), ChildEndedError(f"its process ended ({how})", killed=code == -signal.SIGKILL))

    def end(self) -> None:
        """Ends it, and all that it started."""
        pid = self._process.pid
        assert pid is not None
        for kill in (os.killpg, os.kill):  # it may not lead a group yet
            with suppress(ProcessLookupError):
                kill(pid, signal.SIGKILL)
        self._process.join()
        self.connection.close()


@dataclass(frozen=True)
class _Said(Generic[T]):
    """What a child says.

    Attributes:
        value: the next value, alone; empty at the end.
        error: what ended the values.
    """

    value: tuple[()] | tuple[T]
    error: Exception | None = None


def _serve(connection: Connection, values: Callable[[], Iterator[T]]) -> None:
    os.setpgid(0, 0)
    leave_signals_to_parent()
    end_with_parent()
    here = os.getpid()

    def send(said: _Said[T]) -> None:
        leave_if_forked(here)
        connection.send(said)

    try:
        for value in values():
            send(_Said((value,)))
        send(_Said(()))
    except (Exception, SystemExit) as error:  # also what cannot be pickled
        send(_Said((), _sendable(error)))
    except BaseException as error:  # such as KeyboardInterrupt: signals raise none here
        send(_Said((), ChildEndedError(f"it raised {type(error).__name__}")))


def _sendable(error: BaseException) -> Exception:
    """Returns an error that another process can be sent: itself, or one with its type and message."""
    with suppress(Exception):
        if isinstance(error, Exception) and type(pickle.loads(pickle.dumps(error))) is type(error):
            return error
    first = str(error).strip().split("\n", 1)[0]
    return BenchmarkError(f"{type(error).__name__}{': ' if first else ''}{first}")


def _one(call: Callable[[], T]) -> Iterator[T]:
    yield call()


def _made_here(call: Callable[[], T]) -> T | Exception:
    try:
        return call()
    except (Exception, SystemExit) as error:
        return _sendable(error)
