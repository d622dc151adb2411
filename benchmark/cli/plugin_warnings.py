"""Loads the plugins of a command, with a warning for each installed package that was left out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from benchmark.core.output import warn


def load(plugins: Iterable[Path]) -> None:
    """Imports plugins, and warns of installed packages that were left out."""
    from benchmark.plugins.load import load_plugins

    warn(*(f"warning: {line}" for line in load_plugins(plugins)))
