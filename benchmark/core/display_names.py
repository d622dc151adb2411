"""Specs as readers see them: without folders, and with parameters only where they matter."""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePath

from benchmark.core.errors import UsageError
from benchmark.core.spec import format_spec, parse_spec, split_list, split_outside_brackets

_PATH_IN_SPEC = re.compile(r'"([/~][^"]*)"|(?<![^=:,\["\s])([/~][^\[\],:"]*)')
"""An absolute path in a spec: quoted, or up to what ends a name or a value."""
_PATH_IN_TEXT = re.compile(
    r"""(?P<quote>['"])(?P<quoted>[/~][^'"\n]*/[^'"\n]*)(?P=quote)"""
    r"""|(?<![^\s=:,\[("'`])(?P<bare>(?:~|/[^\s/\[\],:;"'`()]+)/[^\s\[\],:;"'`()]+)"""
)
"""An absolute path in a sentence: in quotes, or with two parts at least and no space."""


def abbreviate(names: Iterable[str]) -> dict[str, str]:
    """Leaves out parameters that all names with one base share; distinct names stay distinct.

    Args:
        names: of one kind, as `base` or `base[key=value,...]`.

    Returns:
        The abbreviation of each name; one that is alone with its base is abbreviated to the base.
    """
    groups: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for name in names:
        base, bracket, inner = name.partition("[")
        if bracket and not name.endswith("]"):
            base, inner = name, ""
        groups[base][name] = split_outside_brackets(inner[:-1], ",")
    brief = {}
    for base, group in groups.items():
        shared = set.intersection(*map(set, group.values()))
        for name, parameters in group.items():
            kept = ",".join(parameter for parameter in parameters if parameter not in shared)
            brief[name] = f"{base}[{kept}]" if kept else base
    return brief


def without_folders(spec: str) -> str:
    """Shortens each absolute path in a spec, or a text that is one, to its last part."""
    try:
        parsed = parse_spec(spec)
    except UsageError:
        return _shortened(spec)
    kind, colon, path = parsed.name.partition(":")
    parameters = {key: _shortened(value) for key, value in parsed.parameters.items()}
    return format_spec(f"{_last_part(kind)}{colon}{_last_part(path)}", parameters)


def command_without_folders(command: str) -> str:
    """Shortens each absolute path in a command line to its last part."""
    words = []
    for word in shlex.split(command):
        option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        words.append(f"{option}{equals}{_list_without_folders(value)}")
    return shlex.join(words)


def sentence_without_folders(text: str) -> str:
    """Shortens each absolute path in a sentence to its last part."""

    def short(found: re.Match[str]) -> str:
        quote, quoted = found["quote"] or "", found["quoted"]
        return f"{quote}{_last_part(found['bare'] or quoted)}{quote}"

    return _PATH_IN_TEXT.sub(short, text)


def _list_without_folders(text: str) -> str:
    if _is_absolute(text):
        return _shortened(text)
    try:
        specs = split_list(text)
    except UsageError:
        return text
    shortened = [without_folders(spec) for spec in specs]
    return text if shortened == specs else ",".join(shortened)


def _shortened(text: str) -> str:
    return _PATH_IN_SPEC.sub(lambda found: _last_part(found[1] or found[2]), text)


def _is_absolute(text: str) -> bool:
    return text.startswith(("/", "~"))


def _last_part(text: str) -> str:
    return PurePath(text).name if _is_absolute(text) else text
