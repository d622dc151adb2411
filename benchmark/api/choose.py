"""Chooses among tables and models by the words that readers see."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from benchmark.core.errors import UsageError, unknown_name

T = TypeVar("T")
Value = str | float | None


def choose(
    kind: str, found: Sequence[T], asked: Mapping[str, Value], words: Callable[[T], Mapping[str, Value]]
) -> T:
    """Returns the only thing that fits what was asked for.

    Args:
        kind: the word for it in messages, as "table".
        found: all things.
        asked: the values asked for, by the name of the argument; None leaves it open.
        words: the values of a thing, by the same names.

    Raises:
        UsageError: when none fits, or several do; the message lists what there is.
    """
    fitting = list(found)
    for name, value in asked.items():
        if value is None:
            continue
        fitting, before = [thing for thing in fitting if _same(words(thing)[name], value)], fitting
        if not fitting:
            raise unknown_name(name, str(value), _texts(words(thing)[name] for thing in before))
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise UsageError(f"There is no {kind}.")
    open_names = [name for name in asked if len(_texts(words(thing)[name] for thing in fitting)) > 1]
    options = "; ".join(
        f"{name}= one of {', '.join(_texts(words(thing)[name] for thing in fitting))}" for name in open_names
    )
    raise UsageError(f"{len(fitting)} {kind}s fit; choose by {options}.")


def _same(value: Value, asked: Value) -> bool:
    if isinstance(value, float) and isinstance(asked, int | float):
        as_written = value < 1 and f"{value:g}" == f"{asked:g}"  # in messages
        return as_written or abs(value - asked) < 1e-9
    return value == asked


def _texts(values: Iterable[Value]) -> list[str]:
    return list(dict.fromkeys(f"{value:g}" if isinstance(value, float) else str(value) for value in values))
