"""Text from outside, as names, reasons and descriptions are, escaped for a page of Markdown."""

from __future__ import annotations

import re

from benchmark.core.output import printable

NONE = "\u2013"  # an en dash
_CODE_SPAN = re.compile(r"(?<!`)((?P<fence>`+)(?!`).+?(?<!`)(?P=fence)(?!`))")
_MEANT = re.compile(r"\\(?=[!-/:-@\[-`{-~]|$)")
"""A backslash before punctuation, which would take the punctuation's meaning, or its own would be lost."""


def text(value: str) -> str:
    """Escapes free text for a cell of a Markdown table, in one line: no HTML, links, pictures or entities.

    Code within backticks stays code.
    """
    line = _one_line(value)
    parts, end = [], 0
    for span in _CODE_SPAN.finditer(line):  # in which only a table's bars have a meaning
        parts += [_plain(line[end : span.start()]), _code_in_cell(span[0])]
        end = span.end()
    return "".join([*parts, _plain(line[end:])])


def code(value: str) -> str:
    """Formats a spec string or a command as code in one line; a dash when it is empty.

    It is text where a bar follows a backslash, as in `_code_in_cell`.
    """
    line = _one_line(value)
    if not line:
        return NONE
    if "\\|" in line:
        return _plain(line)
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    pad = " " if "`" in (line[0], line[-1]) else ""
    return _code_in_cell(f"{fence}{pad}{line}{pad}{fence}")


def _code_in_cell(span: str) -> str:
    """Escapes the bars of a code span; text where one follows a backslash, which code cannot escape."""
    return _plain(span) if "\\|" in span else span.replace("|", "\\|")


def _one_line(value: str) -> str:
    return printable(" ".join(value.split()))


def _plain(line: str) -> str:
    line = re.sub(r"&(?=#?\w+;)", "&amp;", _MEANT.sub(r"\\\\", line))
    line = line.replace("`", "\\`").replace("|", "\\|")
    return line.replace("<", "&lt;").replace("](", "]\\(").replace("![", "!\\[")
