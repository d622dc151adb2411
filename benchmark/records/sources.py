"""Which code an identity was made from: a hash of each module, in a file named by the hash of all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from benchmark.core.files import set_aside, write_atomically

_FOLDER = "identities"


def save_sources(root: Path, sources: Mapping[str, Mapping[str, str]]) -> None:
    """Writes the hashes of modules, where they are not written yet, or damaged.

    Args:
        root: the store's folder.
        sources: by the hash of all, a hash of each module by its name.
    """
    for digest, modules in sources.items():
        if read_source(root, digest) != modules:
            _write(root / _FOLDER / f"{digest}.json", modules)


def read_source(root: Path, digest: str) -> dict[str, str]:
    """Reads the hash of each module behind the hash of all; empty where it is not known."""
    try:
        found = json.loads((root / _FOLDER / f"{digest}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _write(path: Path, modules: Mapping[str, str]) -> None:
    if path.is_dir():
        set_aside(path, "a folder is in its place")
    text = json.dumps(dict(modules), indent=0, sort_keys=True)
    write_atomically(path, lambda file: file.write_text(text, encoding="utf-8"))
