"""Makes a module of any callable, with the modules that it uses."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType

from torch import Tensor, nn

_DEPTH = 7
"""How many references away from a callable modules are looked for, itself included."""

_MOST = 1000
"""Containers with more entries hold data, in which no modules are looked for."""

_LEAVES = (type, ModuleType, Tensor, str, bytes, int, float)
"""What holds no modules of its own."""


def modules_behind(model: object) -> Iterator[nn.Module]:
    """Yields the modules that a callable uses, each once, so that they can be put into evaluation mode.

    These are the model itself where it is a module; else those that are found through methods and the objects
    that these belong to, `functools.partial`, attributes of objects, entries of dictionaries and sequences,
    and of functions the names of their own or of their module, and the defaults of their arguments.

    Args:
        model: the callable.
    """
    seen: dict[int, object] = {}  # they are kept, so that no two have one id
    reached = [model]
    for _ in range(_DEPTH):
        found = [thing for thing in reached if not isinstance(thing, _LEAVES)]
        reached = []
        for thing in found:
            if id(thing) in seen:
                continue
            seen[id(thing)] = thing
            if isinstance(thing, nn.Module):
                yield thing
            else:
                reached += _parts(thing)


def _parts(thing: object) -> Iterable[object]:
    """What an object that is no module refers to."""
    if isinstance(thing, Mapping | list | tuple | set | frozenset):
        entries = thing.values() if isinstance(thing, Mapping) else thing
        return entries if len(thing) <= _MOST else ()
    if inspect.ismethod(thing):
        names = getattr(getattr(thing.__func__, "__code__", None), "co_names", ())
        others = (getattr(type(thing.__self__), name, None) for name in names)  # such as self.other(...)
        return (thing.__self__, thing.__func__, *filter(inspect.isfunction, others))
    if isinstance(thing, functools.partial):
        return (thing.func, *thing.args, *thing.keywords.values())
    if inspect.isfunction(thing):
        defaults = (*(thing.__defaults__ or ()), *(thing.__kwdefaults__ or {}).values())
        return (*names_of(thing).values(), *defaults)
    called = [vars(kind)["__call__"] for kind in type(thing).__mro__[:-1] if "__call__" in vars(kind)][:1]
    slots = [
        name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ()) if name != "__dict__"
    ]
    held = [*getattr(thing, "__dict__", {}).values(), *(getattr(thing, name, None) for name in slots)]
    return (*held, *filter(inspect.isfunction, called))


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
