"""A benchmark of defenses for deep metric learning under attacks made for clustering and retrieval.

The public names are imported when they are first asked for, so that no part of the project loads the rest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmark.api.attacked_images import attack
    from benchmark.api.evaluated import evaluate
    from benchmark.api.results import Results, load_results
    from benchmark.api.row import RowScores, Scores
    from benchmark.api.trained_model import load_model
    from benchmark.core.errors import BenchmarkError, UsageError
    from benchmark.evaluation.conformance import check_defense, check_plugin_class, defense_checks

__all__ = [
    "BenchmarkError",
    "Results",
    "RowScores",
    "Scores",
    "UsageError",
    "attack",
    "check_defense",
    "check_plugin_class",
    "defense_checks",
    "evaluate",
    "load_model",
    "load_results",
]

_HOMES = {
    "BenchmarkError": "benchmark.core.errors",
    "Results": "benchmark.api.results",
    "RowScores": "benchmark.api.row",
    "Scores": "benchmark.api.row",
    "UsageError": "benchmark.core.errors",
    "attack": "benchmark.api.attacked_images",
    "check_defense": "benchmark.evaluation.conformance",
    "check_plugin_class": "benchmark.evaluation.conformance",
    "defense_checks": "benchmark.evaluation.conformance",
    "evaluate": "benchmark.api.evaluated",
    "load_model": "benchmark.api.trained_model",
    "load_results": "benchmark.api.results",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
