"""Reads configurations in YAML, strictly: what YAML reads otherwise than a reader of the file is refused."""

from __future__ import annotations

import re
from math import isfinite
from typing import Any

import yaml

from benchmark.core.errors import UsageError


class _Loader(yaml.SafeLoader):
    """Reads YAML, and refuses what it would read otherwise than a reader of the file."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Builds a mapping; refuses a key that is given twice, of which YAML would keep the last."""
        seen = set()
        for key, _ in node.value:
            if key.tag not in _KEY_TAGS:
                written = f" '{key.value}'" if isinstance(key, yaml.ScalarNode) else ""
                raise _refusal(f"the key{written} is not a name; put names in quotes", key)
            if key.value in seen:
                raise _refusal(f"the key '{key.value}' is given twice", key)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> float:
        """Builds a number; refuses 010, which YAML reads as octal, and 1:30, which it reads in base 60."""
        whole = node.tag == _TAG + "int"
        number: float = self.construct_yaml_int(node) if whole else self.construct_yaml_float(node)
        if _OTHER_BASE.fullmatch(node.value):
            raise _refusal(f"{node.value} is read as {number}: write it as a decimal number", node)
        if not isfinite(number):
            raise _refusal(f"{node.value} is not a finite number", node)
        return number

    def construct_nothing(self, node: yaml.ScalarNode) -> None:
        """Builds None; refuses ~, which YAML reads as nothing and a reader as the home folder."""
        if node.value == "~":
            raise _refusal("~ is read as nothing: write '~' for the home folder, or leave the key out", node)

    def refuse_date(self, node: yaml.ScalarNode) -> None:
        """Refuses a date, which no key takes."""
        raise _refusal(f"{node.value} is read as a date: put it in quotes", node)


_TAG = "tag:yaml.org,2002:"
_KEY_TAGS = (_TAG + "str", _TAG + "merge")
_OTHER_BASE = re.compile(r"[-+]?(0[0-9_]+|[^.]*:.*)")

_Loader.add_constructor(_TAG + "int", _Loader.construct_number)
_Loader.add_constructor(_TAG + "float", _Loader.construct_number)
_Loader.add_constructor(_TAG + "null", _Loader.construct_nothing)
_Loader.add_constructor(_TAG + "timestamp", _Loader.refuse_date)


def _refusal(problem: str, node: yaml.Node) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(problem=problem, problem_mark=node.start_mark)


def read_yaml(text: str, name: str) -> dict[str, Any]:
    """Reads the keys and values of a configuration.

    Args:
        text: the content of the file.
        name: names the file in messages.

    Raises:
        UsageError: for what is no YAML, or what a reader of the file would take for something else: a key
            that is given twice, 010, 1:30, a date, ~, or a number that is not finite.
    """
    try:
        values = yaml.load(text, _Loader) or {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a ValueError for a date such as 2026-13-1
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise UsageError(f"{name} is not valid YAML{where}: {getattr(error, 'problem', error)}.") from None
    if not isinstance(values, dict):
        raise UsageError(f"{name} must hold keys and values, as in 'defenses: [vanilla, pgd_at]'.")
    return values
