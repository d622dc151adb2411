"""What identities are made of, and what changed between two of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from benchmark.planning.grid import Grid
from benchmark.planning.identity import source_parts

Parts = Mapping[str, Any]
"""The parts of an identity, by name; "source" hashes its code, "code" names the modules it starts from."""

Source = Callable[[str], Mapping[str, str]]
"""Finds the hash of each module behind the hash of all; empty where it is not known."""


def identities(grid: Grid) -> dict[str, Parts]:
    """The parts of the identity of every model and cell of a grid, by id."""
    found: dict[str, Parts] = {}
    for model in grid.models:
        found |= {job.id: job.identity for job in (*model.job.all_teachers(), model.job)}
    for planned in grid.attacks:
        found |= planned.job.identities
    return found


def sources(parts: Mapping[str, Parts]) -> dict[str, dict[str, str]]:
    """The hash of each module of the code of identities, by the hash of all."""
    code = {one["source"]: frozenset(one["code"]) for one in parts.values() if one}
    return {digest: source_parts(modules) for digest, modules in code.items()}


def describe(parts: Parts, source: Source) -> Iterator[str]:
    """Writes a line for each part of an identity, and for each module of its code."""
    for name, value in sorted(parts.items()):
        if name not in ("code", "source"):
            yield f"{name}: {_shown(value)}"
    modules = source(parts["source"])
    yield f"source: {parts['source']}{f', of {len(modules)} modules' if modules else ''}"
    for name, digest in sorted(modules.items()):
        yield f"  {digest[:8]}  {name}"


def differences(old: Parts, new: Parts, old_source: Source, new_source: Source) -> Iterator[str]:
    """Writes a line for each part in which two identities differ.

    Args:
        old: the parts of one.
        new: the parts of the other.
        old_source: finds the modules of the code of the first.
        new_source: finds those of the second.
    """
    for name in sorted((old.keys() | new.keys()) - {"code"}):
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        if name == "source":
            yield from _of_code(old_source(str(before)), new_source(str(after)))
        elif isinstance(before, Mapping) and isinstance(after, Mapping):
            for key in sorted(before.keys() | after.keys()):
                if before.get(key) != after.get(key):
                    yield f"{name}: {key}: {_shown(before.get(key))} -> {_shown(after.get(key))}"
        else:
            yield f"{name}: {_shown(before)} -> {_shown(after)}"


def _of_code(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    if not old or not new:
        yield "source: the code changed; which modules is not known"
        return
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            yield f"source: {name} is no part of it any more"
        elif name not in old:
            yield f"source: {name} is new"
        elif old[name] != new[name]:
            yield f"source: {name} changed"


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_shown(one)}" for key, one in sorted(value.items())) or "none"
    return "none" if value is None else str(value)
