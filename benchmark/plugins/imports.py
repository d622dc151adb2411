"""The imports that a source file holds, read from its text."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from benchmark.core.source import ROOT

_BY_NAME = frozenset({"imp", "importlib", "pkgutil", "runpy"})
"""Libraries that import modules whose names they are given."""

_FUNCTIONS_BY_NAME = frozenset({"__import__", "exec"})


class Import(NamedTuple):
    """One imported name.

    Attributes:
        module: the module; a relative import outside of a package keeps its dots.
        name: the name in the module; empty for `import module`.
        bound: the name that it is given, before its first dot.
    """

    module: str
    name: str
    bound: str


@cache
def module_file(name: str) -> Path | None:
    """The source file of a module of the project; None where there is no such module."""
    path = ROOT.joinpath(*name.split("."))
    for file in (path / "__init__.py", path.with_name(f"{path.name}.py")):
        if file.is_file():
            return file
    return None


def nodes_of(file: Path, type_checking: bool) -> list[ast.AST]:
    """Lists the syntax nodes of a source file, in the order of the text.

    Args:
        file: the source file; one that is not Python has no nodes.
        type_checking: whether code for type checkers counts.
    """
    nodes: list[ast.AST] = []
    # Not by recursion: a sum of a thousand terms is a thousand nodes deep.
    waiting: list[ast.AST] = [tree] if (tree := _parsed(file)) is not None else []
    while waiting:
        node = waiting.pop()
        nodes.append(node)
        skips_body = isinstance(node, ast.If) and not type_checking and _is_type_checking(node.test)
        children = node.orelse if isinstance(node, ast.If) and skips_body else _children(node)
        waiting.extend(reversed(children))
    return nodes


def _children(node: ast.AST) -> list[ast.AST]:
    """The nodes directly below one, as of `ast.iter_child_nodes`, in half the time."""
    found: list[ast.AST] = []
    for name in node._fields:
        value = getattr(node, name, None)
        if isinstance(value, ast.AST):
            found.append(value)
        elif isinstance(value, list):
            found += [item for item in value if isinstance(item, ast.AST)]
    return found


def imports_in(nodes: Iterable[ast.AST], package: str) -> list[Import]:
    """Lists the imports of a file, those in functions too.

    Args:
        nodes: of the file.
        package: the package that it belongs to, which relative imports start from; empty outside of one.
    """
    found = []
    for node in nodes:
        if isinstance(node, ast.Import):
            found += [Import(a.name, "", a.asname or a.name.split(".")[0]) for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(node, package)
            found += [Import(module, a.name, a.asname or a.name) for a in node.names]
    return found


def texts_in(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Lists the strings in a file that may name a module, a file or a folder; parts of f-strings too."""
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
            if 0 < len(text) < 200 and text.isprintable():
                yield text


def imports_by_name(nodes: Sequence[ast.AST]) -> bool:
    """Whether a file may import modules whose names it computes."""
    for node in nodes:
        if isinstance(node, ast.Name) and node.id in _FUNCTIONS_BY_NAME:
            return True
    modules = {made.module.split(".")[0] for made in imports_in(nodes, "")}
    return not modules.isdisjoint(_BY_NAME)


def _parsed(file: Path) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "\d" in a user's file is no concern here
            return ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    if not package:
        return "." * node.level + (node.module or "")
    above = package.split(".")
    above = above[: len(above) - node.level + 1]
    return ".".join([*above, *([node.module] if node.module else [])])


def _is_type_checking(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else test.id if isinstance(test, ast.Name) else ""
    return name == "TYPE_CHECKING"
