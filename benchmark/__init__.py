"""A benchmark of defenses for deep metric learning under attacks made for clustering and retrieval.

The public names are imported when they are first asked for, so that no part of the project loads the rest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmark.api.attacked_images import attack
    from benchmark.core.errors import BenchmarkError, UsageError
    from benchmark.evaluation.conformance import check_defense, defense_checks

__all__ = ["BenchmarkError", "UsageError", "attack", "check_defense", "defense_checks"]

_HOMES = {
    "BenchmarkError": "benchmark.core.errors",
    "UsageError": "benchmark.core.errors",
    "attack": "benchmark.api.attacked_images",
    "check_defense": "benchmark.evaluation.conformance",
    "defense_checks": "benchmark.evaluation.conformance",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
