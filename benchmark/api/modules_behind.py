"""Finds the modules that a callable uses."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator

from torch import nn

_DEPTH = 4
"""How many functions deep modules are looked for."""


def modules_behind(model: object, depth: int = _DEPTH) -> Iterator[nn.Module]:
    """Yields the modules of a callable, so that they can be put into evaluation mode.

    Args:
        model: a module itself, a method of one, a `functools.partial`, or a function that refers to modules
            by a name of its own or of its module, also through other functions.
        depth: how many functions deep they are looked for.
    """
    if isinstance(model, nn.Module):
        yield model
        return
    if not depth:
        return
    parts: list[object] = []
    if inspect.ismethod(model):
        parts = [model.__self__]
    elif isinstance(model, functools.partial):
        parts = [model.func, *model.args, *model.keywords.values()]
    elif inspect.isfunction(model):
        try:
            found = inspect.getclosurevars(model)
        except ValueError:  # a name that is assigned only later
            return
        parts = [*found.nonlocals.values(), *found.globals.values()]
    for part in parts:
        yield from modules_behind(part, depth - 1)
