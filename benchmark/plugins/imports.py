"""The imports that a source file holds, read from its text."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path


@cache
def module_file(name: str) -> Path | None:
    """The source file of a module of the project; None where there is no such module."""
    module = sys.modules.get(name)
    if module is not None:
        origin = getattr(module, "__file__", None)
    else:
        try:
            found = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            return None
        origin = found.origin if found else None
    return Path(origin).resolve() if origin and origin.endswith(".py") else None


def import_pairs(file: Path, package: str, type_checking: bool) -> list[tuple[str, str]]:
    """Lists a file's imports, lazy ones too, as pairs of a module and a name in it.

    Args:
        file: the source file; one that is not Python has no imports.
        package: the package that it belongs to, which relative imports start from; empty outside of one.
        type_checking: whether imports for type checkers count.

    Returns:
        The pairs in the order of the text; the name is empty for `import module`. Relative imports outside of
        a package keep their dots.
    """
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return []
    return list(_pairs(tree, package, type_checking))


def _pairs(node: ast.AST, package: str, type_checking: bool) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.If) and not type_checking and _is_type_checking(node.test):
        for child in node.orelse:
            yield from _pairs(child, package, type_checking)
    elif isinstance(node, ast.Import):
        yield from ((alias.name, "") for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = _absolute(node, package)
        yield from ((base, alias.name) for alias in node.names)
    else:
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from ((text, "") for text in _texts(node.args))
        for inner in ast.iter_child_nodes(node):
            yield from _pairs(inner, package, type_checking)


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    if not package:
        return "." * node.level + (node.module or "")
    above = package.split(".")
    above = above[: len(above) - node.level + 1]
    return ".".join([*above, *([node.module] if node.module else [])])


def _is_type_checking(test: ast.expr) -> bool:
    return ast.unparse(test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _texts(nodes: Iterable[ast.expr]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
