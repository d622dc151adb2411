"""Calls in child processes, so that other people's code that ends its process ends no other."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from multiprocessing.connection import wait
from typing import TypeVar

from benchmark.core.forked_child import PATIENCE, Child, ChildEndedError, sendable
from benchmark.core.processes import leave_if_forked

__all__ = ("ChildEndedError", "call_in_child", "call_in_children", "forkable", "iterate_in_child")

T = TypeVar("T")

_TRIES = 3
"""How often a call is made whose child is killed."""

_FORKABLE = ContextVar("forkable", default=False)


def call_in_children(calls: Sequence[Callable[[], T]], at_once: int = 1) -> list[T | Exception]:
    """Makes each call in a child of its own, forked from this process.

    A child ignores Ctrl-C. When it has answered, it is ended with all that it started. One that was killed,
    as for want of memory, is replaced, twice at most. Where this process may not be forked, it makes the
    calls itself: outside of `forkable`, on systems other than Linux, and where there is CUDA, whose state in
    a child is undefined.

    Args:
        calls: the calls; what they return can be pickled.
        at_once: number of children side by side.

    Returns:
        For each call what it returned or raised; an error that is not the project's as a `BenchmarkError`
        with its type and message, and `ChildEndedError` where the child ended without an answer.

    Raises:
        BenchmarkError: when no process can be started.
    """
    if not _can_fork():
        return [_made_here(call) for call in calls]
    waiting = deque((number, call, _TRIES) for number, call in enumerate(calls))
    running: dict[int, tuple[Child[T], int]] = {}
    found: dict[int, T | Exception] = {}
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                number, call, tries = waiting.popleft()
                running[number] = Child(partial(_one, call)), tries - 1
            wait([child.connection for child, _ in running.values()], PATIENCE)
            for number in [number for number, (child, _) in running.items() if child.has_said()]:
                child, tries = running[number]
                said = child.next()
                child.end()
                del running[number]
                answer = said.value[0] if said.value else said.error or ChildEndedError("no answer")
                if tries and isinstance(answer, ChildEndedError) and answer.killed:
                    waiting.append((number, calls[number], tries))
                    at_once = 1  # beside others it may have lacked memory
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
        here = os.getpid()
        try:
            yield from values()
        finally:
            leave_if_forked(here)
        return
    with Child(values) as child:
        while (said := child.next()).value:
            yield said.value[0]
        if said.error is not None:
            raise said.error


@contextmanager
def forkable() -> Iterator[None]:
    """Lets `call_in_children` fork this process within the block.

    It must not run several threads of OpenMP before: in a child they are missing, and a plugin that asks for
    them would wait for ever.
    """
    token = _FORKABLE.set(True)
    try:
        yield
    finally:
        _FORKABLE.reset(token)


def _can_fork() -> bool:
    if not _FORKABLE.get() or sys.platform != "linux" or multiprocessing.current_process().daemon:
        return False
    import torch

    return not torch.cuda.is_available()


def _one(call: Callable[[], T]) -> Iterator[T]:
    yield call()


def _made_here(call: Callable[[], T]) -> T | Exception:
    here = os.getpid()
    try:
        return call()
    except (Exception, SystemExit) as error:
        return sendable(error)
    finally:
        leave_if_forked(here)
