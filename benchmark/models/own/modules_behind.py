"""Makes a module of any callable, with the modules that it uses."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator

from torch import Tensor, nn

_DEPTH = 4
"""How many functions deep modules are looked for."""


def modules_behind(model: object, depth: int = _DEPTH) -> Iterator[nn.Module]:
    """Yields the modules of a callable, so that they can be put into evaluation mode.

    Args:
        model: a module itself, a method of one, a `functools.partial`, a function that refers to modules
            by a name of its own or of its module, also through other functions, or an object with
            `__call__` that holds modules as attributes.
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
        parts = [*names_of(model).values()]
    elif callable(model) and not inspect.isclass(model) and not inspect.isbuiltin(model):
        parts = [*getattr(model, "__dict__", {}).values()]
    for part in parts:
        yield from modules_behind(part, depth - 1)


def names_of(function: object) -> dict[str, object]:
    """Returns what the names stand for that a function takes from around it; empty where that is unknown."""
    try:
        found = inspect.getclosurevars(function)  # type: ignore[arg-type]
    except (TypeError, ValueError):  # no function in Python, or a name that is assigned only later
        return {}
    return {**found.globals, **found.nonlocals}


class FunctionModule(nn.Module):
    """A function as a module, with the modules that it refers to: they are moved and set to modes with it.

    Their weights are in its state, and so part of its identity.

    Args:
        function: from images to embeddings.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.behind = nn.ModuleList(dict.fromkeys(modules_behind(function)))

    def forward(self, images: Tensor) -> Tensor:
        """Calls the function."""
        return self.function(images)
