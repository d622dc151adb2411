"""Spec strings, `name[key=value,key=value]`: how everything is named together with its parameters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from benchmark.core.errors import UsageError

_NAME = re.compile(r"[A-Za-z_][\w.\-:/~+]*")


@dataclass(frozen=True)
class Spec:
    """A name and its parameters as written; values are not parsed yet."""

    name: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def split_outside_brackets(text: str, separators: str) -> list[str]:
    """Split at separator characters outside square brackets, and drop empty parts.

    Raises:
        UsageError: when brackets do not match.
    """
    parts: list[str] = []
    current = ""
    depth = 0
    for character in text:
        depth += (character == "[") - (character == "]")
        if depth < 0:
            break
        if depth == 0 and character in separators:
            parts.append(current)
            current = ""
        else:
            current += character
    if depth != 0:
        raise UsageError(f"Brackets do not match in '{text}'. Write name[key=value,key=value].")
    return [part.strip() for part in [*parts, current] if part.strip()]


def split_list(texts: str | Iterable[str]) -> list[str]:
    """Split a list separated by commas or spaces (or given as several arguments) into spec strings.

    Their order is kept, and a repeated spec is kept once.
    """
    joined = texts if isinstance(texts, str) else " ".join(texts)
    return list(dict.fromkeys(split_outside_brackets(joined, ", \t\n")))


def parse_spec(text: str) -> Spec:
    """Parse one spec string; values may hold nested specs, as in `pgd[objective=pool[k=5],steps=20]`.

    Raises:
        UsageError: when the text is not of that form.
    """
    text = text.strip()
    match = _NAME.match(text)
    if not match:
        raise UsageError(f"'{text}' is not a name. Write name or name[key=value,key=value].")
    name, rest = match.group(0), text[match.end() :]
    if not rest:
        return Spec(name)
    if not (rest.startswith("[") and rest.endswith("]")):
        raise UsageError(f"'{text}' is not a valid spec. Write name or name[key=value,key=value].")
    parameters: dict[str, str] = {}
    for part in split_outside_brackets(rest[1:-1], ","):
        key, equals, value = part.partition("=")
        key, value = key.strip(), value.strip()
        if not equals or not key or not value:
            raise UsageError(f"'{part}' in '{text}' is not of the form key=value.")
        if key in parameters:
            raise UsageError(f"Parameter '{key}' is given twice in '{text}'.")
        parameters[key] = value
    return Spec(name, parameters)


def format_value(value: object) -> str:
    """Format a parameter value as in a canonical spec string."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "none"
    if isinstance(value, float):
        short, levels = f"{value:.6g}", f"{255 * value:.0f}"
        # 8/255 in decimals would be read back as another number. Larger values are rarely grey levels.
        exact = float(short) != value == float(levels) / 255 and value < 0.25
        return f"{levels}/255" if exact else short
    return str(value)


def format_spec(name: str, parameters: Mapping[str, object]) -> str:
    """Format the canonical spec string: parameters in alphabetical order, no spaces."""
    if not parameters:
        return name
    inner = ",".join(f"{key}={format_value(parameters[key])}" for key in sorted(parameters))
    return f"{name}[{inner}]"
