"""The registry: named classes of one kind, built from spec strings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from benchmark.core.errors import UsageError, unknown_name
from benchmark.core.parameters import Parameters
from benchmark.core.spec import Spec, parse_spec

P = TypeVar("P", bound=Parameters)

RESERVED = ("all", "none")
"""Words of the command line and of the tables, which can be the name of nothing else."""


class Registry(Generic[P]):
    """Names classes of one kind, and builds them from spec strings.

    Args:
        kind: the word for one entry in messages ("defense", "attack", ...).
        base: the class that every entry must derive from.
    """

    def __init__(self, kind: str, base: type[P]) -> None:
        self.kind = kind
        self.base = base
        self._meanings: list[Callable[[str], str]] = []
        self._fallbacks: list[Callable[[str], type[P] | None]] = []
        self._entries: dict[str, type[P]] = {}

    def register(self, name: str) -> Callable[[type[P]], type[P]]:
        """Return a decorator that registers a class under a name.

        Raises:
            UsageError: when the name is taken by another class or reserved, or when the class is not of this
                kind or already has another name.
        """

        def decorate(cls: type[P]) -> type[P]:
            if not (isinstance(cls, type) and issubclass(cls, self.base)):
                raise UsageError(
                    f"'{name}' is not a {self.kind}: its class must derive from {self.base.__name__}."
                )
            if parse_spec(name) != Spec(name) or name in RESERVED:
                raise UsageError(f"'{name}' cannot be the name of a {self.kind}: it has another meaning.")
            if meaning := next(filter(None, (found(name) for found in self._meanings)), ""):
                raise UsageError(
                    f"'{name}' cannot be the name of a {self.kind}: it is the name of {meaning}."
                )
            taken = self._entries.get(name)
            if taken is not None and (taken.__module__, taken.__qualname__) != (
                cls.__module__,
                cls.__qualname__,
            ):
                raise UsageError(f"The {self.kind} name '{name}' is already taken by {taken.__module__}.")
            # Specs hold the name of the class; a second name would change the specs of the first.
            if self._entries.get(cls.name) is cls and cls.name != name:
                raise UsageError(
                    f"'{name}' needs a class of its own: this one is the {self.kind} '{cls.name}'."
                )
            cls.name = name
            self._entries[name] = cls
            return cls

        return decorate

    def add_meaning(self, meaning: Callable[[str], str]) -> None:
        """Add what names mean where they stand beside those of this registry, which cannot have them then.

        Args:
            meaning: called with a name; returns what has it, as "a suite", or nothing.
        """
        self._meanings.append(meaning)

    def add_fallback(self, fallback: Callable[[str], type[P] | None]) -> None:
        """Add a source of classes that are not registered, for open families such as timm's backbones.

        Args:
            fallback: called with a name that is not registered; returns its class, or None when it has none.
                Fallbacks are called in the order in which they were added.
        """
        self._fallbacks.append(fallback)

    def get(self, name: str) -> type[P]:
        """Return the class of that name.

        Raises:
            UsageError: when there is none, with the nearest name and the list of all.
        """
        if name in self._entries:
            return self._entries[name]
        for fallback in self._fallbacks:
            if (found := fallback(name)) is not None:
                return found
        raise unknown_name(self.kind, name, self._entries)

    def hides(self, name: str) -> bool:
        """Whether a registered name is also one that a fallback would have a class for."""

        def has(fallback: Callable[[str], type[P] | None]) -> bool:
            try:
                return fallback(name) is not None
            except UsageError:  # it has none
                return False

        return any(map(has, self._fallbacks))

    def build(self, text: str) -> P:
        """Build the entry that a spec string names.

        Raises:
            UsageError: for a malformed spec, an unknown name or parameter, or a value that does not fit.
        """
        spec = parse_spec(text)
        entry: P = self.get(spec.name).from_spec(spec)
        return entry

    def forget(self, name: str) -> None:
        """Remove a name, as when the module that registered it fails to load; unknown names are ignored."""
        self._entries.pop(name, None)

    def canonical(self, text: str) -> str:
        """Return the canonical spec of an entry; for validators of parameters that name one.

        Raises:
            ValueError: where `build` raises UsageError, because pydantic expects that.
        """
        try:
            return self.build(text).spec
        except UsageError as error:
            raise ValueError(str(error)) from None

    def names(self) -> list[str]:
        """Every registered name, in the order of registration."""
        return list(self._entries)

    def items(self) -> list[tuple[str, type[P]]]:
        """Every name with its class, in the order of registration."""
        return list(self._entries.items())
