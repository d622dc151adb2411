"""Own models that are objects of this process, for the Python interface."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from torch import nn

from benchmark.core.errors import UsageError
from benchmark.models.own.base import OwnModel, own_model_kind
from benchmark.models.own.code_of_object import code_of_object
from benchmark.models.own.python_entry import as_network

_PREFIX = "object:"


@dataclass
class _Held:
    """An object that `live_model` holds.

    Attributes:
        network: the object.
        fingerprint: of its weights as they were when it was first loaded; empty before. A forward pass may
            keep tensors in it, which make no other model of it.
    """

    network: nn.Module
    fingerprint: str = ""


_LIVE: dict[str, _Held] = {}
"""The objects that `live_model` holds at the moment, by name."""


class LiveModel(OwnModel):
    """A network that exists in this process alone."""

    title: ClassVar[str] = "Python object"

    def base_name(self) -> str:
        """The name that it was given."""
        return self.name.removeprefix(_PREFIX)

    def content(self) -> str:
        """Return a hash of the code of the object's classes, which may be in a notebook."""
        return code_of_object(self.network())

    def _fingerprint_of(self, network: nn.Module) -> str:
        held = _LIVE[self.name]
        held.fingerprint = held.fingerprint or super()._fingerprint_of(network)
        return held.fingerprint

    def network(self) -> nn.Module:
        """Return the object.

        Raises:
            UsageError: when it is held no longer, as in another process.
        """
        try:
            return _LIVE[self.name].network
        except KeyError:
            raise UsageError(
                f"The model '{self.base_name()}' was an object of another process; it cannot be loaded here."
            ) from None


@contextmanager
def live_model(name: str, model: nn.Module | Callable[..., Any]) -> Iterator[str]:
    """Gives a network, or a function from images to vectors, a spec that holds within the block.

    Args:
        name: what tables call it: letters, digits, `_`, `.`, `+` and `-`.
        model: maps images in [0, 1], shape (n, C, H, W), to vectors, shape (n, d).
    """
    spec = f"{_PREFIX}{name}"
    if spec in _LIVE:
        raise UsageError(f"Two models are called '{name}'.")
    _LIVE[spec] = _Held(as_network(model, f"The model '{name}' is"))
    try:
        yield spec
    finally:
        del _LIVE[spec]


@cache
def _find(name: str) -> type[OwnModel] | None:
    if not name.startswith(_PREFIX):
        return None
    return type(
        "LiveModelOf", (LiveModel,), {"name": name, "__module__": __name__, "__doc__": LiveModel.__doc__}
    )


own_model_kind(_find, first=True)  # object:name has the form of a Python entry
