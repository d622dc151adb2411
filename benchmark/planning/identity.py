"""Stable identities: what a model or a cell is, as a hash of everything that its figures depend on.

Held in an identity: parameters, the source of the classes named (and of the project's code that they reach),
and the protocol's version. Not held: the order of arguments, the number of workers, the output folder.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
from collections.abc import Callable, Iterable
from functools import cache
from types import ModuleType
from typing import Any

_ROOTS = ("attacks", "defenses", "benchmark")
_PLUMBING = (
    "benchmark.core.cpu",
    "benchmark.core.errors",
    "benchmark.core.files",
    "benchmark.core.parameters",
    "benchmark.core.protocol",
    "benchmark.core.registry",
    "benchmark.core.spec",
    "benchmark.runner",
)
"""What no figure depends on. The functions of the runner that make figures are hashed one by one."""


def digest(description: Any) -> str:
    """A short hash of anything that JSON can hold, whatever the order of its keys."""
    text = json.dumps(description, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _neighbours(module: ModuleType, roots: set[str]) -> set[str]:
    """Names of the modules within some packages that a module takes something from."""
    names = set()
    for value in vars(module).values():
        name = value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", None)
        if isinstance(name, str) and name.split(".")[0] in roots and not name.startswith(_PLUMBING):
            names.add(name)
    return names & set(sys.modules)


@cache
def _source(name: str) -> str:
    return inspect.getsource(sys.modules[name])


@cache
def _source_digest(start: frozenset[str]) -> str:
    seen: set[str] = set()
    waiting = set(start)
    # An installed plugin is a package of its own: what its modules take from each other counts as well.
    roots = {*_ROOTS, *(name.split(".")[0] for name in start)}
    while waiting:
        name = waiting.pop()
        seen.add(name)
        waiting |= _neighbours(sys.modules[name], roots) - seen
    return digest({name: _source(name) for name in seen})


@cache
def _function_source(function: Callable[..., Any]) -> str:
    return inspect.getsource(function)


def function_digest(functions: Iterable[Callable[..., Any]]) -> str:
    """A hash of the source of some functions alone."""
    return digest([_function_source(function) for function in functions])


def source_digest(things: Iterable[type | Callable[..., Any]]) -> str:
    """A hash of the source of the modules of some classes or functions, and of all they reach in the project.

    For a class of an installed package, also of all that is reached in that package.

    A comment counts too: a result computed once too often is cheaper than one that is stale.
    """
    return _source_digest(frozenset(thing.__module__ for thing in things))
