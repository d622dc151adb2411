"""Stable identities: what a model or a cell is, as a hash of everything that its metrics depend on.

Part of an identity: parameters, the code of the classes named and of what they import, and the protocol's
version. No part of it: the words of the code (docstrings, comments, formatting), paths, the order of
arguments, the number of workers, the output folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from benchmark.core.code import code_digest
from benchmark.plugins.imports import module_file
from benchmark.plugins.reach import modules_of, reached


def digest(description: Any) -> str:
    """Hashes anything that JSON can hold, whatever the order of its keys; 20 hexadecimal digits."""
    text = json.dumps(description, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:20]


@cache
def _file_digest(file: Path) -> str:
    return code_digest(file)


def source_digest(things: Iterable[type | Callable[..., Any]], modules: Iterable[str] = ()) -> str:
    """Hashes the code of some classes or functions, and of some imported modules, and of what they import.

    Imports are followed within the project, and within a plugin's own code: files beside it, and the modules
    of its package. Installed libraries are not followed: records name their versions.
    """
    return _source_digest(modules_of(things) | frozenset(modules))


@cache
def _source_digest(modules: frozenset[str]) -> str:
    return digest(sorted(_hashed(modules)))


def _hashed(modules: frozenset[str]) -> list[tuple[str, str]]:
    code = reached(modules)
    files = [(name, file) for name in code.modules if (file := module_file(name)) is not None]
    return [(name, _file_digest(file)) for name, file in [*files, *code.files]]


def source_parts(modules: frozenset[str]) -> dict[str, str]:
    """The hash of each module and file that `source_digest` reads for some imported modules, by its name."""
    return dict(sorted(_hashed(modules)))


def recorded_parts(
    description: Mapping[str, Any], things: Iterable[type | Callable[..., Any]], modules: Iterable[str] = ()
) -> dict[str, Any]:
    """The description that an identity is the hash of, with the modules that its code starts from, "code"."""
    return {**description, "code": sorted(modules_of(things) | frozenset(modules))}


def plugin_files(things: Iterable[type | Callable[..., Any]], modules: Iterable[str] = ()) -> tuple[str, ...]:
    """Names of the users' own files that `source_digest` reads, in alphabetical order."""
    return tuple(sorted(file.name for file in reached(modules_of(things) | frozenset(modules)).files))


def plugin_digest(things: Iterable[type | Callable[..., Any]]) -> str:
    """Hashes the users' own files among what `source_digest` reads; 8 digits, empty where there are none."""
    files = reached(modules_of(things)).files
    return digest(sorted((name, _file_digest(file)) for name, file in files))[:8] if files else ""


def forget() -> None:
    """Makes identities read files of code anew, as after a change of them."""
    _file_digest.cache_clear()
    _source_digest.cache_clear()
