"""Spec strings, `name[key=value,key=value]`: how everything is named together with its parameters.

Text in double quotes is taken as it is, so that names and values can hold any character, as in
`folder:"/my, data"[size=32]`; within it, a double quote is written twice. The canonical form has quotes only
around a whole name or value that would be read differently without them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from benchmark.core.errors import UsageError

_FIRST = r"(?:[^\W\d]|~|\.{0,2}/)"
_PLAIN = r"[\w.\-:/~+]*"
_NAME = re.compile(_FIRST + _PLAIN)
"""A name that needs no quotes: it begins with a letter, `_`, `/`, `./`, `../` or `~`."""

_PIECES = re.compile(r'"(?:[^"]|"")*"|[^"]+')
"""The quoted and the unquoted parts of a text in which quotes match."""

_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_SPECIAL = frozenset('[],"')
_FORM = "Write name or name[key=value,key=value]; a path with other characters needs double quotes."


@dataclass(frozen=True)
class Spec:
    """A name and its parameters as written; values are not parsed yet."""

    name: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def _outside_quotes(text: str) -> Iterator[tuple[int, str]]:
    """Yield each character outside double quotes with its index.

    Raises:
        UsageError: when quotes do not match.
    """
    quoted = False
    for index, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif not quoted:
            yield index, character
    if quoted:
        raise UsageError(f"Double quotes do not match in '{text}'.")


def split_outside_brackets(text: str, separators: str) -> list[str]:
    """Split at separator characters outside square brackets and double quotes, and drop empty parts.

    Raises:
        UsageError: when brackets or quotes do not match.
    """
    parts: list[str] = []
    start = depth = 0
    for index, character in _outside_quotes(text):
        depth += (character == "[") - (character == "]")
        if depth < 0:
            break
        if depth == 0 and character in separators:
            parts.append(text[start:index])
            start = index + 1
    if depth != 0:
        raise UsageError(f"Brackets do not match in '{text}'. Write name[key=value,key=value].")
    return [part.strip() for part in [*parts, text[start:]] if part.strip()]


def split_list(texts: str | Iterable[str]) -> list[str]:
    """Split a list separated by commas or spaces (or given as several arguments) into spec strings.

    Their order is kept, and a repeated spec is kept once.
    """
    joined = texts if isinstance(texts, str) else " ".join(texts)
    return list(dict.fromkeys(split_outside_brackets(joined, ", \t\n")))


def split_parameters(text: str) -> tuple[str, list[str]]:
    """Split a spec string into its name and its parameters, both as written.

    Raises:
        UsageError: when the text is not of that form; names and parameters are not checked.
    """
    end = next((index for index, character in _outside_quotes(text) if character == "["), len(text))
    name, rest = text[:end], text[end:]
    if rest and not rest.endswith("]"):
        raise UsageError(f"'{text}' is not a valid spec. {_FORM}")
    return name, split_outside_brackets(rest[1:-1], ",")


def parse_spec(text: str) -> Spec:
    """Parse one spec string; values may hold nested specs, as in `pgd[objective=pool[k=5],steps=20]`.

    Raises:
        UsageError: when the text is not of that form.
    """
    name, parameters = _parsed(text)
    return Spec(name, dict(parameters))


@lru_cache(maxsize=4096)
def _parsed(text: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The name, and the parameters in their order; large grids name the same few thousand times."""
    text = text.strip()
    head, parts = split_parameters(text)
    parameters: dict[str, str] = {}
    for part in parts:
        key, equals, value = part.partition("=")
        key, value = key.strip(), value.strip()
        if not equals or not key or not value:
            raise UsageError(f"'{part}' in '{text}' is not of the form key=value.")
        if key in parameters:
            raise UsageError(f"Parameter '{key}' is given twice in '{text}'.")
        parameters[key] = _unquote(value)
    return _parse_name(head, text), tuple(parameters.items())


def _parse_name(head: str, text: str) -> str:
    """Return the name without its quotes; only quoted parts may hold any character.

    Raises:
        UsageError: when it is empty, or has other characters than a name.
    """
    if _NAME.fullmatch(head):
        return head
    pieces: list[str] = _PIECES.findall(head)
    for index, piece in enumerate(pieces):
        pattern = _FIRST + _PLAIN if index == 0 else _PLAIN
        if not _QUOTED.fullmatch(piece) and not re.fullmatch(pattern, piece):
            raise UsageError(f"'{text}' is not a name. {_FORM}")
    name = "".join(_unquote(piece) for piece in pieces)
    if not name:
        raise UsageError(f"'{text}' is not a name. {_FORM}")
    return name


def parse_list(text: str) -> list[str] | None:
    """Return the items of a value such as `[0.485,0.456,0.406]`; None for a value of another form.

    Raises:
        UsageError: when brackets or quotes do not match.
    """
    if not (text.startswith("[") and text.endswith("]")):
        return None
    return [_unquote(item) for item in split_outside_brackets(text[1:-1], ",")]


def _unquote(text: str) -> str:
    """Return the text between quotes, if all of it is in quotes."""
    return text[1:-1].replace('""', '"') if _QUOTED.fullmatch(text) else text


def _quote(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def _needs_quotes(value: str) -> bool:
    """Whether a value would be read back as another one if it were written without quotes."""
    if not value or value != value.strip() or _QUOTED.fullmatch(value):
        return True
    if _SPECIAL.isdisjoint(value):
        return False
    try:
        return split_outside_brackets(value, ",") != [value]
    except UsageError:
        return True


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
    if isinstance(value, list | tuple):
        return f"[{','.join(map(format_value, value))}]"
    text = str(value)
    return _quote(text) if _needs_quotes(text) else text


def format_spec(name: str, parameters: Mapping[str, object]) -> str:
    """Format the canonical spec string: parameters in alphabetical order, no spaces."""
    return with_parameters(name if _NAME.fullmatch(name) else _quote(name), parameters)


def with_parameters(title: str, parameters: Mapping[str, object]) -> str:
    """Format parameters as in a spec string behind a title for readers, which is written as it is."""
    if not parameters:
        return title
    inner = ",".join(f"{key}={format_value(parameters[key])}" for key in sorted(parameters))
    return f"{title}[{inner}]"
