"""Stable identities: what a model or a cell is, as a hash of everything that its metrics depend on.

Part of an identity: parameters, the code of the classes named and of the modules that these import, and the
protocol's version. No part of it: the words of the code (docstrings, comments, formatting), paths, the order
of arguments, the number of workers, the output folder.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from benchmark.core.code import code_digest
from benchmark.planning.reach import is_project, module_file, reached


def digest(description: Any) -> str:
    """Hashes anything that JSON can hold, whatever the order of its keys; 20 hexadecimal digits."""
    text = json.dumps(description, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:20]


@cache
def _module_digest(name: str) -> str:
    file = module_file(name)
    return code_digest(file) if file is not None else name


@cache
def _function_digest(function: Callable[..., Any]) -> str:
    return code_digest(inspect.getsource(function))


def function_digest(functions: Iterable[Callable[..., Any]]) -> str:
    """Hashes the code of some functions alone, not of what they call."""
    return digest([_function_digest(function) for function in functions])


def source_digest(things: Iterable[type | Callable[..., Any]]) -> str:
    """Hashes the code of the modules of some classes or functions, and of all that these import.

    What they import is followed within the project, and within a plugin's own code: files beside it, and the
    modules of its package. What was installed is not: records name its versions.
    """
    modules = reached(thing.__module__ for thing in things)
    return digest({name: _module_digest(name) for name in modules})


def plugin_files(things: Iterable[type | Callable[..., Any]]) -> tuple[str, ...]:
    """Names of the files outside the project that `source_digest` reads, in alphabetical order."""
    modules = [name for name in reached(thing.__module__ for thing in things) if not is_project(name)]
    files = {name: module_file(name) for name in modules}
    return tuple(
        sorted(
            f"{name.replace('.', '/')}.py" if "." in name else file.name
            for name, file in files.items()
            if file is not None
        )
    )
