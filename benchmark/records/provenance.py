"""Provenance of a record: source commit, packages, hardware, time."""

from __future__ import annotations

import platform
import subprocess
from datetime import datetime, timezone
from functools import cache
from importlib.metadata import version
from pathlib import Path

from benchmark.core.protocol import PROTOCOL_VERSION
from benchmark.records.record import Record

_PACKAGES = (
    "torch",
    "numpy",
    "faiss-cpu",
    "scikit-learn",
    "pytorch-metric-learning",
    "timm",
    "torchvision",
    "matplotlib",
    "pillow",
)
# Changes elsewhere (boards, docs, tests) do not make the source dirty.
_SOURCE = ("attacks", "benchmark", "defenses", "run_benchmark.py", "pyproject.toml")


class Provenance(Record):
    """The source, packages and hardware that made a record, and when.

    Attributes:
        protocol: version of the protocol.
        commit: source commit, with "-dirty" when the tree had changes, or "unknown" outside a checkout.
        packages: versions of the packages that the metrics depend on.
        hardware: processor or GPU, in words.
        created: time of writing, ISO 8601 in UTC.
    """

    protocol: str
    commit: str
    packages: dict[str, str]
    hardware: str
    created: str


def _git(*arguments: str) -> str | None:
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():  # perhaps installed inside another repository
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


@cache
def commit() -> str:
    """The source commit, with "-dirty" when source files have changed since; "unknown" outside a checkout."""
    head = _git("rev-parse", "--short=12", "HEAD")
    if not head:
        return "unknown"
    return f"{head}-dirty" if _git("status", "--porcelain", "--", *_SOURCE) else head


@cache
def _packages() -> tuple[tuple[str, str], ...]:
    return ("python", platform.python_version()), *((name, version(name)) for name in _PACKAGES)


def provenance(hardware: str, source_commit: str) -> Provenance:
    """Builds the provenance of a record that is written now.

    Args:
        hardware: processor or GPU, and threads, in words.
        source_commit: the commit as the run saw it at its start.
    """
    return Provenance(
        protocol=PROTOCOL_VERSION,
        commit=source_commit,
        packages=dict(_packages()),
        hardware=hardware,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
