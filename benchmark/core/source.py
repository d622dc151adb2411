"""Which code this process runs: a hash of the project's source as it was when the process imported it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from benchmark.core.errors import SourceError

ROOT = Path(__file__).resolve().parents[2]
"""The folder that the project's packages lie in."""

PACKAGES = ("attacks", "benchmark", "defenses")
"""The project's packages."""


def _tree_digest() -> str:
    digest = hashlib.sha256(str(ROOT).encode())
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            digest.update(path.relative_to(ROOT).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


SOURCE_DIGEST = _tree_digest()
"""Of the folder's path and of every source file in it, at the time of the import."""


def check_source(expected: str) -> None:
    """Refuses to compute with other code than that of the process that started the run.

    Args:
        expected: its SOURCE_DIGEST.

    Raises:
        SourceError: when this process imported the project from elsewhere, or after a change.
    """
    if expected != SOURCE_DIGEST:
        raise SourceError(
            f"A worker imported the benchmark from {ROOT}, which is not the code of its run (another copy, "
            "or changed since). Start the run again; what is done is kept."
        )
