"""Which modules some code reaches: found in the text of its imports, whatever has been imported so far."""

from __future__ import annotations

import ast
import importlib.util
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from benchmark.core.source import PACKAGES

_PLUMBING = (
    "benchmark.core.code",
    "benchmark.core.cpu",
    "benchmark.core.errors",
    "benchmark.core.files",
    "benchmark.core.hardware",
    "benchmark.core.labels",
    "benchmark.core.parameters",
    "benchmark.core.protocol",
    "benchmark.core.registry",
    "benchmark.core.source",
    "benchmark.core.spec",
    "benchmark.records",
    "benchmark.plugins",
    "benchmark.jobs",
    "benchmark.planning",
    "benchmark.runner",
    "benchmark.tuning",
)
"""Packages and modules that no metric depends on. Their functions that make metrics are hashed one by one."""


def is_project(name: str) -> bool:
    """Whether a module is the project's own."""
    return name.split(".")[0] in PACKAGES


def reached(start: Iterable[str]) -> frozenset[str]:
    """Finds the modules that some modules import, directly and through others, and those themselves.

    Followed are the project's own modules, but for those that no metric depends on, and whatever else is
    neither installed nor part of Python: a plugin's helpers. Of an installed plugin, its own package.

    Args:
        start: names of imported modules.
    """
    return _reached(frozenset(start))


@cache
def _reached(start: frozenset[str]) -> frozenset[str]:
    seen: set[str] = set()
    waiting = set(start)
    packages = frozenset(name.split(".")[0] for name in start)
    while waiting:
        name = waiting.pop()
        seen.add(name)
        waiting |= {found for found in _imports(name) if _is_followed(found, packages)} - seen
    return frozenset(seen)


def _is_followed(name: str, packages: frozenset[str]) -> bool:
    top = name.split(".")[0]
    if is_project(name):
        return not any(name == part or name.startswith(f"{part}.") for part in _PLUMBING)
    return top in packages or _is_users_own(top)


@cache
def _is_users_own(top: str) -> bool:
    """Whether a package or module is neither installed nor part of Python."""
    if top in sys.stdlib_module_names:
        return False
    file = module_file(top)
    return file is not None and not any(file.is_relative_to(folder) for folder in _library_folders())


@cache
def _library_folders() -> tuple[Path, ...]:
    named = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    return tuple(
        dict.fromkeys(
            Path(folder).resolve() for folder in (*named, *site.getsitepackages(), site.getusersitepackages())
        )
    )


@cache
def module_file(name: str) -> Path | None:
    """The source file of a module; None where it has none, as one written in C."""
    module = sys.modules.get(name)
    origin = getattr(module, "__file__", None)
    if module is None:
        try:
            found = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            return None
        origin = found.origin if found else None
    return Path(origin).resolve() if origin and origin.endswith(".py") else None


@cache
def _imports(name: str) -> frozenset[str]:
    """Modules that a module takes something from: those that define it, not those that pass it through."""
    return frozenset(
        _home(base, taken) if taken else base for base, taken in _import_pairs(name) if base != name or taken
    )


def _home(base: str, taken: str) -> str:
    """Follows an imported name through packages that pass it through, to the module that defines it."""
    if module_file(f"{base}.{taken}") is not None:
        return f"{base}.{taken}"
    file = module_file(base)
    if file is None or file.name != "__init__.py":
        return base
    for origin, original in _import_pairs(base):
        if original == taken and origin != base:
            return _home(origin, taken)
    return base


@cache
def _import_pairs(name: str) -> tuple[tuple[str, str], ...]:
    """Each import in a module's text: from which module, and what; nothing of a module as a whole."""
    file = module_file(name)
    if file is None:
        return ()
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    return tuple(_pairs(ast.parse(file.read_text(encoding="utf-8")), package))


def _pairs(node: ast.AST, package: str) -> Iterator[tuple[str, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(child, ast.Import):
            yield from ((alias.name, "") for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - child.level + 1] if child.level else []
            base = ".".join([*above, *([child.module] if child.module else [])])
            yield from ((base, alias.name) for alias in child.names)
        else:
            yield from _pairs(child, package)
