"""Forgets users' modules whose files changed after they were imported, as between two calls in a notebook."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from benchmark.planning import identity
from benchmark.plugins import reach


def forget_changed(modules: Iterable[str]) -> bool:
    """Makes the next import read users' files anew, where one of them changed since the first call for it.

    Args:
        modules: names of imported modules; the project's own are left out.

    Returns:
        Whether anything was forgotten.

    Raises:
        UsageError: when a module's code is in no file.
    """
    names = frozenset(name for name in modules if not reach.is_project(name))
    files = {file.path for file in reach.reached(names).files}
    changed = [file for file in files if _first_state(file) != _state(file)]
    if not changed:
        return False
    for name, module in list(sys.modules.items()):
        origin = getattr(module, "__file__", None)
        if isinstance(origin, str) and Path(origin).absolute() in files:
            del sys.modules[name]
    _first_state.cache_clear()
    identity.forget()
    reach.forget()
    return True


def _state(file: Path) -> tuple[int, int]:
    try:
        found = file.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


@cache
def _first_state(file: Path) -> tuple[int, int]:
    return _state(file)
