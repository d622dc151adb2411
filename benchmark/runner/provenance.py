"""Who made a record: commit, packages, hardware."""

from __future__ import annotations

import platform
import subprocess
from datetime import datetime, timezone
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch

from benchmark.core.protocol import PROTOCOL_VERSION
from benchmark.runner.records import Provenance

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


def _git(*arguments: str) -> str | None:
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():  # installed inside somebody's own repository, perhaps
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


@cache
def _chip(device: str) -> str:
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def hardware(device: str) -> str:
    """The GPU's or the processor's name, and the threads of a worker, on which a large k-means depends."""
    threads = torch.get_num_threads() if device.startswith("cuda") else 1
    return f"{_chip(device)}, {'one thread' if threads == 1 else f'{threads} threads'} a worker"


def provenance(device: str, source_commit: str | None = None) -> Provenance:
    """What made a record that is written now.

    Args:
        device: "cpu" or "cuda".
        source_commit: the commit as the run saw it at its start; looked up when not given.
    """
    return Provenance(
        protocol=PROTOCOL_VERSION,
        commit=source_commit or commit(),
        packages=dict(_packages()),
        hardware=hardware(device),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
