"""What the text of a file says about other files."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable
from importlib.machinery import SOURCE_SUFFIXES
from pathlib import Path

from benchmark.core.source import PACKAGES
from benchmark.plugins.imports import imports_by_name, imports_in, nodes_of, texts_in

_COMPILED = (".so", ".dll", ".dylib", ".c", ".cc", ".cpp", ".cu", ".pyx")
"""Endings of files that are no modules, and that code may load or compile when it runs."""


class FileText:
    """What the text of a file says about others.

    Attributes:
        imports: its imports.
        modules: the dotted names, each with a name in it, that may be modules, by their first part.
        relative: the same of relative imports, whose first part is dots.
        files: the paths that may be files beside modules, by their first part.
        folders: the paths that may be folders, by their first part.
        by_name: whether it imports modules whose names it computes.
    """

    def __init__(self, nodes: list[ast.AST]) -> None:
        self.imports = imports_in(nodes, "")
        self.by_name = imports_by_name(nodes)
        texts = list(dict.fromkeys(texts_in(nodes)))
        asked = [*((made.module, made.name) for made in self.imports), *((text, "") for text in texts)]
        self.modules: dict[str, list[tuple[str, ...]]] = defaultdict(list)
        self.relative: list[tuple[int, tuple[str, ...]]] = []
        for module, name in dict.fromkeys(asked):
            dots = len(module) - len(module.lstrip("."))
            parts = tuple(part for part in (*module.split("."), name) if part)
            if not all(part.isidentifier() or part == "*" for part in parts):
                continue
            if dots:
                self.relative.append((dots, parts))
            elif parts and parts[0] not in PACKAGES:  # the project is imported before any plugin
                self.modules[parts[0]].append(parts)
        self.files = _by_first_part(
            text.lstrip("/") for text in texts if text.endswith((*SOURCE_SUFFIXES, *_COMPILED))
        )
        dotted = [made.module for made in self.imports] + [f"{m}.{n}" for m, n, _ in self.imports]
        self.folders = _by_first_part(
            path
            for word in (*texts, *(dotted if self.by_name else ()))
            for path in (word.strip("/"), word.replace(".", "/").strip("/"))
        )

    @classmethod
    def read(cls, file: Path) -> FileText:
        """Reads a file; one that is not Python says nothing."""
        return cls(nodes_of(file, type_checking=True) if file.suffix in SOURCE_SUFFIXES else [])


def _by_first_part(paths: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for path in dict.fromkeys(paths):
        if path:
            found[path.split("/")[0]].append(path)
    return found
