"""Source code without its words: what it does, apart from docstrings, comments and formatting."""

from __future__ import annotations

import ast
import hashlib
import json
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_DEEPEST = 60
"""Levels of syntax nodes up to which `_shape` and `json` stay clear of the limit of recursion."""


def code_shape(source: str) -> Any:
    """The syntax tree of some source as nested lists that JSON can hold.

    Two sources that differ only in docstrings, comments, blank lines, line breaks or quotes have the same
    shape. What is empty is left out, so that versions of Python that know more kinds of syntax agree.

    Args:
        source: a module, or a class or function taken out of one (its first line may be indented).

    Raises:
        SyntaxError: when it is not Python.
    """
    return _shape(_parsed(source))


def code_digest(source: str | Path) -> str:
    """Hashes the shape of some source, or of a file of it; 64 hexadecimal digits.

    Of a file that is not Python, as a library written in C, and of deeply nested code, every byte counts.
    """
    data = source.read_bytes() if isinstance(source, Path) else source.encode()
    with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
        data = json.dumps(_shape(_parsed(data), deepest=_DEEPEST)).encode()
    return hashlib.sha256(data).hexdigest()


def _parsed(source: str | bytes) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an escape like "\d" in a user's file is no concern here
        try:
            return ast.parse(source)
        except IndentationError:
            # Not textwrap.dedent: the lines of a text in triple quotes may stand further left than the code.
            text = source.decode() if isinstance(source, bytes) else source
            return ast.parse(f"if True:\n{text}")


def _shape(node: ast.AST, deepest: float = float("inf")) -> Any:
    """The shape of a node and of those below it.

    Raises:
        RecursionError: when they are nested more deeply than `deepest` levels, before Python's limit, which
            depends on the caller's own depth, can matter.
    """
    if deepest <= 0:
        raise RecursionError
    shape: list[Any] = [type(node).__name__]
    for name in node._fields:
        value = getattr(node, name, None)
        if value is None or value == [] or (name == "kind" and isinstance(node, ast.Constant)):
            continue  # u"" is ""
        if name == "body" and isinstance(node, _DOCUMENTED):
            kept = _without_strings(value)
            if len(kept) < len(value) and deepest <= 2:  # a text and its statement are two levels
                raise RecursionError
            value = kept
        if isinstance(value, ast.AST):
            found = _shape(value, deepest - 1)
        elif isinstance(value, list):
            found = [_shape(item, deepest - 1) if isinstance(item, ast.AST) else repr(item) for item in value]
        else:
            found = repr(value)  # names and constants; True and 1 are not the same
        if found != []:
            shape.append([name, found])
    return shape


def _without_strings(body: list[ast.stmt]) -> list[ast.stmt]:
    """The statements but for texts that stand alone: docstrings, of constants and attributes too."""
    return [
        statement
        for statement in body
        if not (
            isinstance(statement, ast.Expr)
            and isinstance(statement.value, ast.Constant)
            and isinstance(statement.value.value, str)
        )
    ]
