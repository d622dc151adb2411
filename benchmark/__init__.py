"""A benchmark of defenses for deep metric learning under attacks made for clustering and retrieval.

The public names are imported when they are first asked for, so that no part of the project loads the rest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmark.evaluation.conformance import check_defense, check_plugin_class, defense_checks

__all__ = ["check_defense", "check_plugin_class", "defense_checks"]

_HOMES = {
    "check_defense": "benchmark.evaluation.conformance",
    "check_plugin_class": "benchmark.evaluation.conformance",
    "defense_checks": "benchmark.evaluation.conformance",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
